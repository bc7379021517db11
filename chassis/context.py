"""What is known about the call under way: who calls, for which casino, until when.

The interceptor makes one `Call` for each RPC and puts it into a context variable;
everything below reads it from there. This file must not know how a token is
verified or where a deadline comes from.
"""

from __future__ import annotations

import contextvars
import dataclasses
import enum
import re
import time
import uuid

# The header's whole alphabet and length; see `x-correlation-id` in the protos.
CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


class Role(enum.StrEnum):
    """What a caller is in the casino; from the verified token only.

    No token gives `scheduler`: a service takes it for work of its own, that nobody asked for.
    """

    DEALER = "dealer"
    CASHIER = "cashier"
    PIT_BOSS = "pit_boss"
    ADMIN = "admin"
    SERVICE = "service"
    SCHEDULER = "scheduler"


@dataclasses.dataclass(frozen=True)
class Caller:
    """The verified identity behind a call.

    `staff_id` is answerable for the call; `acting_service` is the service that
    makes it on the staff member's behalf, None when the staff member calls directly.
    """

    casino_id: uuid.UUID
    staff_id: uuid.UUID
    role: Role
    acting_service: str | None = None


@dataclasses.dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock after which nobody waits for the answer.

    `allowance_seconds` is how far away it was when the call arrived.
    """

    at_seconds: float
    allowance_seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining_seconds(self) -> float:
        """The time that is left; zero or less when it has passed."""
        return self.at_seconds - time.monotonic()


@dataclasses.dataclass
class Call:
    """One RPC under way. `facts` become span attributes and fields of its log event."""

    method: str
    correlation_id: str
    deadline: Deadline
    caller: Caller | None = None
    facts: dict[str, str | int | bool] = dataclasses.field(default_factory=dict)

    @property
    def verified_caller(self) -> Caller:
        """The caller; raises `LookupError` when nobody was authenticated."""
        if self.caller is None:
            raise LookupError("the call has no verified caller")
        return self.caller


# Stands for the staff member, and for the casino, of what a service asks for itself.
NOBODY = uuid.UUID(int=0)


def call_of_our_own(work: str, method: str, casino_id: uuid.UUID, deadline_seconds: float) -> Call:
    """A call that nobody asked for; its correlation ID begins with the name of the `work`."""
    return Call(
        method=method,
        correlation_id=f"{work}-{uuid.uuid4()}",
        deadline=Deadline.after(deadline_seconds),
        caller=Caller(casino_id, NOBODY, Role.SCHEDULER),
    )


_current_call: contextvars.ContextVar[Call] = contextvars.ContextVar("current_call")


def current_call() -> Call:
    """The call under way; raises `LookupError` outside of one."""
    return _current_call.get()


def call_if_any() -> Call | None:
    """The call under way, or None, for code that also runs in the background."""
    return _current_call.get(None)


def enter_call(call: Call) -> contextvars.Token[Call]:
    """Makes `call` the current one for this task and the tasks it starts."""
    return _current_call.set(call)


def leave_call(token: contextvars.Token[Call]) -> None:
    """Undoes `enter_call`."""
    _current_call.reset(token)


def new_correlation_id() -> str:
    """A correlation ID for a call that brought none."""
    return str(uuid.uuid4())
