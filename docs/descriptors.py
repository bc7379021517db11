"""The protos with their comments, as protoc understands them.

Owns how a comment is found for a message, field, enum, value, service or method. It must
not know what the comments say, nor how they are shown.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from google.protobuf import descriptor_pb2

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Ours; what they import is described elsewhere.
OUR_FILES = "casino/"

# The numbers of the fields of FileDescriptorProto and the messages in it, of which the path
# to a commented thing is made: that is how protoc addresses them.
_FILE = descriptor_pb2.FileDescriptorProto
_MESSAGE = descriptor_pb2.DescriptorProto
_ENUM = descriptor_pb2.EnumDescriptorProto
_SERVICE = descriptor_pb2.ServiceDescriptorProto

Path: TypeAlias = tuple[int, ...]


class ProtoFile(NamedTuple):
    """One proto file: what protoc read, and the comments by path."""

    descriptor: descriptor_pb2.FileDescriptorProto
    comments: Mapping[Path, str]

    def head(self) -> str:
        """The comment at the head of the file."""
        return self.comments.get((_FILE.SYNTAX_FIELD_NUMBER,), "")

    def of_service(self, service: int) -> str:
        """The comment of the service at this index."""
        return self.comments.get((_FILE.SERVICE_FIELD_NUMBER, service), "")

    def of_method(self, service: int, method: int) -> str:
        """The comment of a method, by the indexes of its service and its own."""
        path = (_FILE.SERVICE_FIELD_NUMBER, service, _SERVICE.METHOD_FIELD_NUMBER, method)
        return self.comments.get(path, "")

    def of_message(self, message: int) -> str:
        """The comment of the message at this index."""
        return self.comments.get((_FILE.MESSAGE_TYPE_FIELD_NUMBER, message), "")

    def of_field(self, message: int, field: int) -> str:
        """The comment of a field, by the indexes of its message and its own."""
        path = (_FILE.MESSAGE_TYPE_FIELD_NUMBER, message, _MESSAGE.FIELD_FIELD_NUMBER, field)
        return self.comments.get(path, "")

    def of_oneof(self, message: int, oneof: int) -> str:
        """The comment of a oneof, by the indexes of its message and its own."""
        path = (_FILE.MESSAGE_TYPE_FIELD_NUMBER, message, _MESSAGE.ONEOF_DECL_FIELD_NUMBER, oneof)
        return self.comments.get(path, "")

    def of_enum(self, enum: int) -> str:
        """The comment of the enum at this index."""
        return self.comments.get((_FILE.ENUM_TYPE_FIELD_NUMBER, enum), "")

    def of_value(self, enum: int, value: int) -> str:
        """The comment of an enum's value, by the indexes of its enum and its own."""
        path = (_FILE.ENUM_TYPE_FIELD_NUMBER, enum, _ENUM.VALUE_FIELD_NUMBER, value)
        return self.comments.get(path, "")


def read_protos() -> list[ProtoFile]:
    """Our protos, in the order of their names; raises `CalledProcessError` for a bad one."""
    with tempfile.TemporaryDirectory() as directory:
        target = pathlib.Path(directory) / "descriptors.binpb"
        command = [sys.executable, str(ROOT / "protos/generate.py"), "--descriptors", str(target)]
        subprocess.run(command, check=True)  # noqa: S603
        described = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    return [_with_comments(file) for file in described.file if file.name.startswith(OUR_FILES)]


def _with_comments(file: descriptor_pb2.FileDescriptorProto) -> ProtoFile:
    comments = {
        tuple(location.path): _unindented(location.leading_comments)
        for location in file.source_code_info.location
        if location.leading_comments
    }
    return ProtoFile(file, comments)


def _unindented(comment: str) -> str:
    """Without the blank that follows the slashes in each line."""
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.splitlines()).strip("\n")
