"""docs/api.md, written from the protos and the comments in them.

    python -m docs.api_reference            writes it
    python -m docs.api_reference --check    exits with 1 when the page is another

It owns how the contract is shown, and the links in it. It must not know an RPC, a message
or a reason by name.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf import descriptor_pb2

from docs import generated, rpc_tables
from docs.descriptors import ROOT, ProtoFile, read_protos

PAGE = ROOT / "docs" / "api.md"
ERRORS_PAGE = "errors.md"

HEAD = """\
# API reference

Both services, field by field. `make tables` writes this page from the comments in the protos;
change it there. What a reason means and what to do about it stands in the
[error catalogue]({errors}); every RPC that people call, as a line for the shell, in the
[grpcurl cookbook](grpcurl.md).

"""

_Field = descriptor_pb2.FieldDescriptorProto
_QUOTED = re.compile(r"`([^`]+)`")
_SENTENCE_OF_FACTS = re.compile(r"^(Roles|Idempotent by|Errors): ", re.MULTILINE)
# A block that is laid out by blanks, as the list of common errors is.
_LAID_OUT = re.compile(r" {4,}\S")


class Links(NamedTuple):
    """What a name in backquotes leads to."""

    # Messages, enums and RPCs of ours: headings of this page.
    names: frozenset[str]
    # Reasons: headings of the error catalogue.
    reasons: frozenset[str]

    def linked(self, text: str) -> str:
        """The text with a link wherever it names something that has a heading."""
        return _QUOTED.sub(self._link, text)

    def _link(self, quoted: re.Match[str]) -> str:
        name = quoted[1].rpartition("/")[2]
        if name in self.names:
            return f"[{quoted[0]}](#{name.lower()})"
        if name in self.reasons:
            return f"[{quoted[0]}]({ERRORS_PAGE}#{name.lower()})"
        return quoted[0]


def rendered(protos: Sequence[ProtoFile], services: Sequence[rpc_tables.Service]) -> str:
    """The page; raises `ValueError` when two headings would be the same."""
    links = Links(
        names=frozenset(_headings(protos)),
        reasons=frozenset(
            reason
            for service in services
            for failure in (
                *service.common_failures,
                *(each for rpc in service.rpcs for each in rpc.failures),
            )
            for reason in failure.reasons
        ),
    )
    parts = [HEAD.format(errors=ERRORS_PAGE), *_contents(protos)]
    for proto in protos:
        parts += _file(proto, links)
    return "".join(parts).rstrip("\n") + "\n"


def pages() -> dict[pathlib.Path, str]:
    """The page as it should be."""
    return {PAGE: rendered(in_order(read_protos()), rpc_tables.read_services())}


def in_order(protos: Sequence[ProtoFile]) -> list[ProtoFile]:
    """In the order of the README's tables."""
    names = [str(path.relative_to(ROOT / "protos")) for path in rpc_tables.PROTOS]
    return sorted(protos, key=lambda proto: names.index(proto.descriptor.name))


def _headings(protos: Sequence[ProtoFile]) -> list[str]:
    """What has a heading of its own, by its short name."""
    names: list[str] = []
    for proto in protos:
        file = proto.descriptor
        names += [method.name for service in file.service for method in service.method]
        names += [message.name for message in file.message_type]
        names += [enum.name for enum in file.enum_type]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two headings of one name: {', '.join(twice)}")
    return names


def _contents(protos: Sequence[ProtoFile]) -> Iterator[str]:
    for proto in protos:
        for service in proto.descriptor.service:
            rpcs = ", ".join(_link_to(method.name) for method in service.method)
            yield f"**[{service.name}](#{service.name.lower()})**: {rpcs}\n\n"


def _file(proto: ProtoFile, links: Links) -> Iterator[str]:
    file = proto.descriptor
    for number, service in enumerate(file.service):
        yield f"## {service.name}\n\n"
        yield f"`{file.package}.{service.name}`, in [{file.name}](../protos/{file.name}).\n\n"
        yield links.linked(_prose(proto.head())) + "\n\n"
        yield links.linked(_prose(proto.of_service(number))) + "\n\n"
        for index, method in enumerate(service.method):
            yield from _method(proto.of_method(number, index), method, links)
    # A request and its response are best read together, which is how the file has them.
    for index, message in enumerate(file.message_type):
        yield from _message(proto, index, message, links)
    for index, enum in enumerate(file.enum_type):
        yield f"### {enum.name}\n\n{links.linked(_prose(proto.of_enum(index)))}\n\n"
        yield "| value | no. | meaning |\n|---|---|---|\n"
        for place, value in enumerate(enum.value):
            meaning = links.linked(_cell(proto.of_value(index, place)))
            yield f"| `{value.name}` | {value.number} | {meaning} |\n"
        yield "\n"


def _method(
    comment: str, method: descriptor_pb2.MethodDescriptorProto, links: Links
) -> Iterator[str]:
    promise, *facts = _SENTENCE_OF_FACTS.split(comment)
    request, response = (_short(name) for name in (method.input_type, method.output_type))
    yield f"### {method.name}\n\n{links.linked(_prose(promise))}\n\n"
    yield f"- **Request:** {_link_to(request)}\n- **Response:** {_link_to(response)}\n"
    for name, fact in zip(facts[::2], facts[1::2], strict=True):
        yield f"- **{name}:** {links.linked(_cell(fact))}\n"
    yield "\n"


def _message(
    proto: ProtoFile, index: int, message: descriptor_pb2.DescriptorProto, links: Links
) -> Iterator[str]:
    yield f"### {message.name}\n\n{links.linked(_prose(proto.of_message(index)))}\n\n"
    if not message.field:
        yield "It has no fields.\n\n"
        return
    for place, oneof in enumerate(message.oneof_decl):
        members = [each.name for each in message.field if _oneof_of(each) == place]
        listed = ", ".join(f"`{name}`" for name in members)
        yield f"At most one of {listed} (`{oneof.name}`): "
        yield links.linked(_cell(proto.of_oneof(index, place))) + "\n\n"
    yield "| field | no. | type | meaning |\n|---|---|---|---|\n"
    for place, field in enumerate(message.field):
        meaning = links.linked(_cell(proto.of_field(index, place)))
        yield f"| `{field.name}` | {field.number} | {_type(message, field)} | {meaning} |\n"
    yield "\n"


def _oneof_of(field: _Field) -> int | None:
    return field.oneof_index if field.HasField("oneof_index") else None


def _type(message: descriptor_pb2.DescriptorProto, field: _Field) -> str:
    named = _named_type(message, field)
    is_map = named.startswith("map of ")
    return f"repeated {named}" if field.label == _Field.LABEL_REPEATED and not is_map else named


def _named_type(message: descriptor_pb2.DescriptorProto, field: _Field) -> str:
    if not field.type_name:
        return _Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
            key, value = (_named_type(nested, each) for each in nested.field)
            return f"map of {key} to {value}"
    if field.type_name.startswith(".casino."):
        return _link_to(_short(field.type_name))
    return f"`{field.type_name.removeprefix('.')}`"


def _short(type_name: str) -> str:
    return type_name.rpartition(".")[2]


def _link_to(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _prose(comment: str) -> str:
    """A comment as Markdown: what is laid out by blanks stays as it is."""
    lines: list[str] = []
    is_laid_out = False
    for line in comment.strip().splitlines():
        if bool(_LAID_OUT.match(line)) is not is_laid_out:
            is_laid_out = not is_laid_out
            lines += ["", "  ```text"] if is_laid_out else ["  ```", ""]
        lines.append(line)
    if is_laid_out:
        lines.append("  ```")
    return "\n".join(lines)


def _cell(comment: str) -> str:
    """A comment in one line, as a table's cell holds it."""
    return " ".join(comment.split()).replace("|", "\\|")


if __name__ == "__main__":
    generated.main(__doc__ or "", pages)
