"""Generates the committed stubs (`*_pb2.py`, `*_pb2_grpc.py` and their `.pyi`) from the protos.

`python protos/generate.py` writes them beside the protos; `--check` generates
into a temporary directory instead and fails when a committed stub is stale.
`--descriptors FILE` writes the descriptor set that buf lints and compares.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import pathlib
import sys
import tempfile

import grpc_tools
from google.type import money_pb2
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parent
STUB_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def proto_files() -> list[str]:
    """Every proto of ours, relative to the import root."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))


def run_protoc(*options: str) -> None:
    """Runs protoc over all our protos; raises `SystemExit` with its code when it fails."""
    # The protoc plugins of mypy-protobuf stand beside the interpreter.
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    google_type = pathlib.Path(money_pb2.__file__).parents[2]
    code = protoc.main(
        ["protoc", f"-I{ROOT}", f"-I{well_known}", f"-I{google_type}", *options, *proto_files()]
    )
    if code != 0:
        raise SystemExit(code)


def generate(target: pathlib.Path) -> None:
    """Writes all stubs below `target`."""
    run_protoc(
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
    )


def stale_stubs(fresh: pathlib.Path) -> list[str]:
    """Names the stubs that differ between `fresh` and the committed tree, either way."""
    names = {
        str(path.relative_to(top))
        for top in (fresh, ROOT)
        for path in top.rglob("*")
        if path.name.endswith(STUB_SUFFIXES)
    }
    return sorted(
        name
        for name in names
        if not (fresh / name).is_file()
        or not (ROOT / name).is_file()
        or not filecmp.cmp(fresh / name, ROOT / name, shallow=False)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which stubs are stale")
    parser.add_argument("--descriptors", metavar="FILE", help="write the descriptor set to FILE")
    arguments = parser.parse_args()
    if arguments.descriptors:
        run_protoc(
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={arguments.descriptors}",
        )
    elif arguments.check:
        with tempfile.TemporaryDirectory() as directory:
            generate(pathlib.Path(directory))
            stale = stale_stubs(pathlib.Path(directory))
        if stale:
            raise SystemExit("stale stubs, run `make stubs`: " + ", ".join(stale))
    else:
        generate(ROOT)


if __name__ == "__main__":
    main()
