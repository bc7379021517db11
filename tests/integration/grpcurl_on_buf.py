"""`grpcurl` for a machine without it: the few forms the README uses, done by `buf curl`.

Both speak to the server through reflection, so the README's lines are tried for real
everywhere, and by the real grpcurl where that is installed.
"""

from __future__ import annotations

import os
import pathlib
import sys

BUF = str(pathlib.Path(sys.executable).with_name("buf"))


def translate(arguments: list[str]) -> list[str]:
    """`buf`'s argument vector for grpcurl's."""
    options = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    rest = iter(arguments)
    positional = []
    for argument in rest:
        if argument in ("-H", "-d"):
            options += [argument, next(rest)]
        elif argument != "-plaintext":
            positional.append(argument)
    address, verb = f"http://{positional[0]}", positional[1]
    if verb == "list":
        return [*options, "--list-services", address]
    if verb == "describe":
        return [*options, "--list-methods", address]
    return [*options, f"{address}/{verb}"]


if __name__ == "__main__":
    command = translate(sys.argv[1:])
    os.execv(command[0], command)
