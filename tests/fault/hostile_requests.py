"""Hostile requests for any message: a good one with some of its fields changed.

What there is to change is read from the descriptor, so a new field is attacked as soon
as it is in a proto. A `Change` is plain data, which Hypothesis can print and shrink;
`changed` applies it. Nothing here knows a message of ours.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.fault.hostile_values import (
    MARK,
    Borrowed,
    Cleared,
    FromNow,
    Present,
    Repeated,
    Value,
    lists,
    messages,
    scalars,
)

AnyMessage = TypeVar("AnyMessage", bound=Message)

# A message that holds itself is followed so far down.
DEEPEST_PATH = 6
# Few, so that most of a request stays good and it gets far.
FEW_CHANGES = 2
MANY_CHANGES = 6
EVERY_ELEMENT = -1


class Change(NamedTuple):
    """What a field of a request becomes; in a list of messages, that of one element or of all."""

    path: tuple[str, ...]
    value: Value
    # Which element of each list on the way, counted round; or every one.
    element: int = 0

    def __repr__(self) -> str:
        text = repr(self.value)
        shown = text if len(text) < 100 else f"{text[:60]}… ({len(text)})"
        return f"{'.'.join(self.path)}[{self.element}] = {shown}"


@functools.cache
def changes(descriptor: Descriptor) -> st.SearchStrategy[list[Change]]:
    """Changes of a request of this type: none, a few, some, or all there are."""
    elements = st.integers(EVERY_ELEMENT, 2)
    places = [
        st.builds(Change, st.just(path), values, elements)
        for path, values in _places(descriptor, ())
    ]
    if not places:
        return st.just([])
    anywhere = st.one_of(places)
    return st.one_of(
        st.lists(anywhere, max_size=FEW_CHANGES),
        st.lists(anywhere, max_size=MANY_CHANGES),
        st.tuples(*places).map(list),
    )


def changed(
    good: AnyMessage, wanted: Sequence[Change], known_ids: Sequence[str] = ()
) -> AnyMessage:
    """A copy of a good request with these changes, one after the other.

    `known_ids` are what `Borrowed` takes from.
    """
    request = type(good)()
    request.CopyFrom(good)
    for change in wanted:
        _apply(request, change, known_ids)
    return request


def marked(descriptor: Descriptor, path: tuple[str, ...] = ()) -> list[Change]:
    """For every text in a message the change that makes it recognizable."""
    found = []
    for field in descriptor.fields:
        here = (*path, field.name)
        if field.message_type is not None and len(here) < DEEPEST_PATH:
            found += marked(field.message_type, here)
        elif field.type == FieldDescriptor.TYPE_STRING:
            found.append(Change(here, f"My {MARK}", EVERY_ELEMENT))
    return found


def texts_of(message: Message) -> list[str]:
    """Every text in a message."""
    found = []
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            found += [text for each in values for text in texts_of(each)]
        elif field.type == FieldDescriptor.TYPE_STRING:
            found += values
    return found


def _places(
    descriptor: Descriptor, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], st.SearchStrategy[Value]]]:
    """Every field below a message, and what it may become."""
    for field in descriptor.fields:
        here = (*path, field.name)
        if field.is_repeated:
            yield here, lists()
        if field.message_type is None:
            yield here, scalars(field)
            continue
        if not field.is_repeated:
            yield here, messages(field.message_type)
        if len(here) < DEEPEST_PATH:
            yield from _places(field.message_type, here)


def _apply(request: Message, change: Change, known_ids: Sequence[str]) -> None:
    owners: list[Any] = [request]
    for name in change.path[:-1]:
        owners = [each for owner in owners for each in _messages_in(owner, name, change.element)]
    for owner in owners:
        _set(owner, change.path[-1], change.value, known_ids)


def _messages_in(owner: Any, name: str, element: int) -> list[Any]:
    """The messages to go on with: the field itself, or elements of its list."""
    value = getattr(owner, name)
    if not owner.DESCRIPTOR.fields_by_name[name].is_repeated:
        return [value]
    if not value:
        value.add()
    return list(value) if element == EVERY_ELEMENT else [value[element % len(value)]]


def _set(owner: Any, name: str, value: Value, known_ids: Sequence[str]) -> None:
    match value:
        case Cleared():
            owner.ClearField(name)
        case Present():
            getattr(owner, name).SetInParent()
        case FromNow(seconds):
            getattr(owner, name).FromMicroseconds(int((time.time() + seconds) * 1e6))
        case Repeated(times):
            _repeat(getattr(owner, name), times)
        case Borrowed(place):
            if known_ids:
                _set(owner, name, known_ids[place % len(known_ids)], ())
        case _ if owner.DESCRIPTOR.fields_by_name[name].is_repeated:
            getattr(owner, name).append(value)
        case _:
            setattr(owner, name, value)


def _repeat(elements: Any, times: int) -> None:
    present = list(elements)
    del elements[:]
    if present:
        elements.extend(present[number % len(present)] for number in range(times))
