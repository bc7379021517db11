"""docs/api.md says all that the protos say, and says it as they are now."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FileDescriptor

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from docs import api_reference, rpc_tables
from docs.descriptors import ProtoFile, read_protos

FILES = (ratingslip_pb2.DESCRIPTOR, loyalty_pb2.DESCRIPTOR)
SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def protos() -> list[ProtoFile]:
    return api_reference.in_order(read_protos())


def sections() -> dict[str, str]:
    found = SECTION.findall(api_reference.PAGE.read_text(encoding="utf-8"))
    assert len(found) == len(dict(found))
    return dict(found)


def rows_of(file: FileDescriptor) -> Iterator[tuple[str, str]]:
    """Each field and value, as the beginning of its row, with the section it belongs in."""
    for message in file.message_types_by_name.values():
        for field in message.fields:
            yield message.name, f"| `{field.name}` | {field.number} |"
    for enum in file.enum_types_by_name.values():
        for value in enum.values:
            yield enum.name, f"| `{value.name}` | {value.number} |"


def test_the_page_is_what_the_protos_make_of_it(protos: list[ProtoFile]) -> None:
    wanted = api_reference.rendered(protos, rpc_tables.read_services())
    assert api_reference.PAGE.read_text(encoding="utf-8") == wanted, "run `make tables`"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.package)
def test_every_field_and_every_value_stands_in_its_section_with_a_meaning(
    file: FileDescriptor,
) -> None:
    found = sections()
    for name, beginning in rows_of(file):
        rows = [line for line in found[name].splitlines() if line.startswith(beginning)]
        assert len(rows) == 1, (name, beginning)
        meaning = rows[0].removesuffix(" |").rpartition(" | ")[2]
        assert meaning.strip(), rows[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.package)
def test_every_rpc_says_who_may_call_it_and_leads_to_its_messages(file: FileDescriptor) -> None:
    found = sections()
    for service in file.services_by_name.values():
        for method in service.methods:
            text = found[method.name]
            assert "- **Roles:** " in text
            assert "- **Idempotent by:** " in text
            for message in (method.input_type, method.output_type):
                assert f"[{message.name}](#{message.name.lower()})" in text


def test_a_comment_leads_to_what_it_names(protos: list[ProtoFile]) -> None:
    links = api_reference.Links(frozenset({"Close", "Slip"}), frozenset({"NO_SLIP"}))

    linked = links.linked("`Close`, or `a.b.v1.SlipService/Close`, gives a `slip` or `NO_SLIP`.")

    assert linked == (
        "[`Close`](#close), or [`a.b.v1.SlipService/Close`](#close), "
        "gives a `slip` or [`NO_SLIP`](errors.md#no_slip)."
    )


def test_two_headings_of_one_name_are_refused(protos: list[ProtoFile]) -> None:
    with pytest.raises(ValueError, match="two headings of one name: AccruePointsFromSlip"):
        api_reference.rendered([*protos, protos[-1]], [])
