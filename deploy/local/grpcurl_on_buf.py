"""`grpcurl` for a machine without it: the forms that our documents use, done by `buf curl`.

Both speak to the server through reflection, so the documents' lines are tried for real
everywhere, and by the real grpcurl where that is installed. What a failed call looks like
and how it exits is grpcurl's; `buf` itself shows the details as base64.
"""

from __future__ import annotations

import base64
import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import grpc
from google.protobuf import any_pb2, json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

BUF = str(pathlib.Path(sys.executable).with_name("buf"))
# Ours to buf's, where they have other names.
SWITCHES = {"-emit-defaults": "--emit-defaults", "-v": "-v"}
# buf exits with the code shifted by so many bits, grpcurl with the code and this number.
BUF_EXIT_SHIFT = 3
GRPCURL_EXIT_OFFSET = 64
# Where buf's error begins, which is JSON over several lines.
ERROR_BEGINNING = re.compile(r"^\{$", re.MULTILINE)
NEW_LINE, MARGIN = "\n", "    \t"
TYPE_URL = "type.googleapis.com/"
# The types of details are found by their names once this module is there.
DETAIL_TYPES = error_details_pb2.DESCRIPTOR


class Command:
    """One command line of grpcurl's."""

    def __init__(self, arguments: list[str]) -> None:
        self.options: list[str] = []
        self.is_error_formatted = False
        positional = []
        rest = iter(arguments)
        for argument in rest:
            if argument in ("-H", "-d"):
                self.options += [argument, next(rest)]
            elif argument == "-connect-timeout":
                self.options += ["--connect-timeout", next(rest)]
            elif argument == "-format-error":
                self.is_error_formatted = True
            elif argument in SWITCHES:
                self.options.append(SWITCHES[argument])
            elif argument != "-plaintext":
                positional.append(argument)
        self.address, self.verb, *self.symbols = positional


def run(command: Command) -> int:
    """Does what grpcurl would, and returns its exit code."""
    base = f"http://{command.address}"
    if command.verb == "describe" or command.symbols:
        (symbol,) = command.symbols
        print(described(command.address, symbol))
        return 0
    asked = ["--list-services", base] if command.verb == "list" else [f"{base}/{command.verb}"]
    arguments = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    done = subprocess.run(
        [*arguments, *command.options, *asked], capture_output=True, text=True, check=False
    )
    code = done.returncode >> BUF_EXIT_SHIFT
    if not code:
        # The headers stand before the answer, as grpcurl has them.
        print(done.stderr, end="", file=sys.stderr, flush=True)
        print(done.stdout)
        return done.returncode
    # With `-v` much else stands around it.
    beginning = ERROR_BEGINNING.search(done.stderr)
    assert beginning is not None, done.stderr
    error, _ = json.JSONDecoder().raw_decode(done.stderr, beginning.start())
    sys.stderr.write(shown(code, error, is_formatted=command.is_error_formatted))
    return GRPCURL_EXIT_OFFSET + code


def described(address: str, symbol: str) -> str:
    """A service or message as the server's reflection describes it."""
    with grpc.insecure_channel(address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        file = pool.FindFileContainingSymbol(symbol)
    name = symbol.removeprefix(f"{file.package}.")
    if name in file.services_by_name:
        methods = file.services_by_name[name].methods
        return "\n".join(f"{symbol}.{method.name}" for method in methods)
    fields = file.message_types_by_name[name].fields
    return "\n".join(f"  {field.name} = {field.number};" for field in fields)


def shown(code: int, error: dict[str, Any], *, is_formatted: bool) -> str:
    """A failed call as grpcurl shows it."""
    details = [_unpacked(each) for each in error.get("details", [])]
    message = error["message"]
    if is_formatted:
        return json.dumps({"code": code, "message": message, "details": details}, indent=2) + "\n"
    name = error["code"].title().replace("_", "")
    numbered = "".join(
        f"  {number})\t{json.dumps(detail, indent=2).replace(NEW_LINE, NEW_LINE + MARGIN)}\n"
        for number, detail in enumerate(details, start=1)
    )
    return f"ERROR:\n  Code: {name}\n  Message: {message}\n  Details:\n{numbered}"


def _unpacked(detail: dict[str, str]) -> dict[str, Any]:
    text = detail["value"]
    # buf leaves the padding out.
    value = base64.b64decode(text + "=" * (-len(text) % 4))
    packed = any_pb2.Any(type_url=TYPE_URL + detail["type"], value=value)
    fields = json_format.MessageToDict(packed, preserving_proto_field_name=True)
    return dict(sorted(fields.items()))


if __name__ == "__main__":
    sys.exit(run(Command(sys.argv[1:])))
