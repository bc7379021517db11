"""Key sets as files: a new key is added, an old one is dropped, and who is in it is listed.

    python -m deploy.local.keys add KEY_SET NEW_PRIVATE_KEY   makes a key, prints its ID
    python -m deploy.local.keys drop KEY_SET KEY_ID
    python -m deploy.local.keys list KEY_SET

Stands in for what an identity provider and a secret store do elsewhere. A key set is
replaced all at once, so that a service never reads half of one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from deploy.local.identity import SigningKey
from deploy.local.state import write_private


def add_key(key_set: Path, private_key: Path) -> str:
    """Makes a key, adds its public half to a set, and returns its ID.

    Raises:
        FileExistsError: there is a private key, which may be in use.
    """
    if private_key.exists():
        raise FileExistsError(f"{private_key} exists; name a file that does not")
    # Published first: a token must never be signed by a key that nobody knows.
    key = SigningKey.generate()
    _write(key_set, [*_keys(key_set), *key.jwks()["keys"]])
    write_private(private_key, key.private_pem())
    return key.key_id


def drop_key(key_set: Path, key_id: str) -> None:
    """Takes a key out of a set.

    Raises:
        LookupError: the set has no such key, or no other.
    """
    keys = _keys(key_set)
    left = [key for key in keys if key["kid"] != key_id]
    if len(left) == len(keys):
        raise LookupError(f"{key_set} has no key {key_id}")
    if not left:
        raise LookupError(f"{key_id} is the only key of {key_set}; add another first")
    _write(key_set, left)


def key_ids(key_set: Path) -> list[str]:
    """The IDs of the keys in a set, oldest first."""
    return [key["kid"] for key in _keys(key_set)]


def _keys(key_set: Path) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(key_set.read_text())["keys"]
    return keys


def _write(key_set: Path, keys: list[dict[str, Any]]) -> None:
    write_private(key_set, json.dumps({"keys": keys}, indent=2) + "\n")


def main() -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, argument in (("add", "private_key"), ("drop", "key_id"), ("list", "")):
        command = commands.add_parser(name)
        command.add_argument("key_set", type=Path)
        if argument:
            command.add_argument(argument)
    options = parser.parse_args()
    try:
        match options.command:
            case "add":
                print(add_key(options.key_set, Path(options.private_key)))
            case "drop":
                drop_key(options.key_set, options.key_id)
            case _:
                print("\n".join(key_ids(options.key_set)))
    except (OSError, LookupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
