#!/bin/sh
# Makes the virtual environment $1 from the lock $2: exact versions with hashes.
# Looks for a Python of 3.11 or later and says what is missing in plain words.
set -eu
venv=$1
lock=$2

find_python() {
    for candidate in "$PYTHON" python3.11 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or later is needed and was not found; name one with PYTHON=/path/to/python" >&2
    exit 1
}

python=$(find_python)
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    echo "Making a virtual environment with $("$python" --version) …"
    if ! "$python" -m venv "$venv"; then
        echo "$python cannot make virtual environments: install its venv module" \
            "(Debian and Ubuntu: python3-venv) and try again" >&2
        rm -rf "$venv"
        exit 1
    fi
fi
echo "Installing the locked dependencies; this happens once and takes a minute or so …"
"$venv/bin/python" -m pip install --quiet --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
