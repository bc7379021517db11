"""The demo: replays a gaming day through both services, follows one slip, proves the books.

`python -m deploy.local demo [--slips FILE]`; the file's format is
`gaming_day.FILE_FORMAT`. It ends with exit code 0 only if every check of
`reconciliation` passes; a refused row is reported and fails none of them. The
same figures are written to `demo.json` in the state directory, with the keys that
`figures.Figures` documents.

Owns the order of things and the exit code; reading, sending, proving and printing
have their own modules.
"""

from __future__ import annotations

import asyncio
import datetime
import io
import shlex
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc

from casino.loyalty.v1.loyalty_pb2_grpc import LoyaltyServiceStub
from casino.ratingslip.v1.ratingslip_pb2_grpc import RatingSlipServiceStub
from deploy.local.demo.calls import Caller, described
from deploy.local.demo.figures import figures_of, typical
from deploy.local.demo.gaming_day import (
    GAMING_DAY_CSV,
    GamingDay,
    UnreadableFile,
    moved_before,
    read_gaming_day,
)
from deploy.local.demo.lookup import Lookup
from deploy.local.demo.own_checks import own_checks
from deploy.local.demo.reconciliation import Books, Check
from deploy.local.demo.replay import ClosedSlip, FailedSlip, Replay, Run
from deploy.local.demo.report import Report
from deploy.local.services import LOYALTY, RATINGSLIP, address
from deploy.local.stack import LocalStack, StackError, running_stack
from deploy.local.state import DEFAULT_STATE_DIRECTORY, StateDirectory
from deploy.local.traces import Span, wait_for_trace

EXIT_CHECKS_PASSED = 0
EXIT_FAILED = 1
EXIT_UNREADABLE_FILE = 2
# As shells report a program ended by Ctrl-C.
EXIT_INTERRUPTED = 130
# The services send their spans twice a second; a busy machine takes longer.
TRACE_PATIENCE_SECONDS = 10.0
DOCUMENT_NAME = "demo.json"


def run_demo(slips_path: Path | None, state_directory: Path) -> int:
    """Runs the demo on a file, by default the project's own, and returns its exit code.

    0: every check passed; 1: a check failed, or the stack did; 2: the file cannot
    be read; 130: interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # An output that cannot show a dash or a label must not end the demo.
            stream.reconfigure(errors="replace")
    report = Report()
    path = slips_path or GAMING_DAY_CSV
    try:
        day = read_gaming_day(path)
    except UnreadableFile as error:
        return _give_up(str(error), EXIT_UNREADABLE_FILE)
    try:
        return asyncio.run(_run(_shown(path), day, StateDirectory(state_directory), report))
    except KeyboardInterrupt:
        return _give_up("Interrupted.", EXIT_INTERRUPTED)
    except StackError as error:
        return _give_up(f"The stack did not start: {error}", EXIT_FAILED)
    except grpc.aio.AioRpcError as error:
        return _give_up(f"A service could not be asked: {described(error)}", EXIT_FAILED)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return _give_up(f"The demo broke off: {error}", EXIT_FAILED)


async def _run(name: str, day: GamingDay, state: StateDirectory, report: Report) -> int:
    # The last run's figures must not pass for those of a run that broke off.
    (state.root / DOCUMENT_NAME).unlink(missing_ok=True)
    report.file(name, day)
    report.heading("The stack")
    async with running_stack(state, on_progress=lambda text: report.say(f"{text} …")) as stack:
        whose = "is the demo's own" if stack.is_own else "was running already"
        report.say(f"Both services are serving; the stack {whose}.")
        async with (
            grpc.aio.insecure_channel(stack.facts.ratingslip) as ratingslip,
            grpc.aio.insecure_channel(stack.facts.loyalty) as loyalty,
        ):
            return await Demo(state, stack, report, ratingslip, loyalty).run(name, day)


@dataclass(frozen=True)
class Demo:
    """One run against a stack that serves."""

    state: StateDirectory
    stack: LocalStack
    report: Report
    ratingslip: grpc.aio.Channel
    loyalty: grpc.aio.Channel

    async def run(self, name: str, day: GamingDay) -> int:
        """Replays the day, prints and writes what came of it, and returns the exit code."""
        run = Run.new()
        slips = RatingSlipServiceStub(self.ratingslip)
        pit_boss = Caller(self.stack.facts.token("pit_boss"))
        self.report.heading("The day, sent as clients send it")
        moved = moved_before(day.slips, datetime.datetime.now(datetime.UTC))
        began = time.perf_counter()
        with self.report.progress(len(moved)) as advance:
            outcomes = await Replay(run, slips, pit_boss, advance).send(moved)
        wall_seconds = time.perf_counter() - began
        self.report.faults(outcomes.refused)
        self.report.failures(outcomes.failed)

        lookup = self._lookup(run.correlation_id("lookup"))
        tiers = await lookup.players_by_tier({slip.player_id for slip in outcomes.closed})
        figures = figures_of(
            run_id=run.run_id,
            slips_file=name,
            day=day,
            outcomes=outcomes,
            wall_seconds=wall_seconds,
            players_by_tier=tiers,
            checks=await self._checks(run, outcomes.closed, outcomes.failed),
        )
        document = self.state.root / DOCUMENT_NAME
        figures.write(document)
        self.report.figures(figures)
        if (followed := typical(outcomes.closed)) is not None:
            await self._follow(followed, lookup)
        self.report.checks(figures.checks)
        self.report.verdict(figures, _shown(document))
        return EXIT_CHECKS_PASSED if figures.passed else EXIT_FAILED

    def _lookup(self, correlation_id: str) -> Lookup:
        return Lookup(
            RatingSlipServiceStub(self.ratingslip),
            LoyaltyServiceStub(self.loyalty),
            Caller(self.stack.facts.token("cashier")),
            correlation_id,
        )

    async def _checks(
        self, run: Run, closed: Sequence[ClosedSlip], failed: Sequence[FailedSlip]
    ) -> Sequence[Check]:
        facts = self.stack.facts
        books = Books(
            facts.ratingslip_database_url,
            facts.loyalty_database_url,
            uuid.UUID(facts.casino_id),
        )
        return (
            *await books.checks(closed, failed),
            *await own_checks(
                LoyaltyServiceStub(self.loyalty),
                Caller(facts.token("admin")),
                run.correlation_id("checks"),
            ),
        )

    async def _follow(self, followed: ClosedSlip, lookup: Lookup) -> None:
        """Prints one slip from the file to the span tree."""
        self.report.slip(followed, await lookup.rating_slip(followed.slip_id))
        self.report.entries(await lookup.entries_of_slip(followed.slip_id))
        spans = await wait_for_trace(
            Path(self.stack.facts.traces_file),
            followed.trace_id,
            _has_arrived,
            TRACE_PATIENCE_SECONDS,
        )
        self.report.trace(followed.trace_id, spans, _has_arrived(spans))
        self.report.commands(self._commands(followed))

    def _commands(self, followed: ClosedSlip) -> Iterator[str]:
        facts, is_own = self.stack.facts, self.stack.is_own
        yield _stack_command(self.state, "trace", followed.trace_id)
        if is_own:
            # This stack ends with the demo; its data stays, and the next one has it.
            yield _stack_command(self.state, "up")
        else:
            # A new stack begins with empty logs.
            logs = _shown(Path(facts.logs_directory))
            yield f"grep -h '\"{followed.correlation_id}\"' {logs}/*.log"
        token = _shown(Path(facts.tokens_directory) / "cashier.jwt")
        ratingslip = address(RATINGSLIP.default_port) if is_own else facts.ratingslip
        loyalty = address(LOYALTY.default_port) if is_own else facts.loyalty
        yield _grpcurl(
            token,
            f'{{"ratingSlipId": "{followed.slip_id}"}}',
            f"{ratingslip} casino.ratingslip.v1.RatingSlipService/GetRatingSlip",
        )
        yield _grpcurl(
            token,
            f'{{"correlationId": "{followed.correlation_id}"}}',
            f"{loyalty} casino.loyalty.v1.LoyaltyService/ListLedgerEntries",
        )


def _has_arrived(spans: list[Span]) -> bool:
    """Whether the trace hangs together below the client's call, and both services are in it."""
    known = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_span_id not in known]
    return len(roots) == 1 and len({span.service for span in spans}) > 1


def _grpcurl(token: str, request: str, target: str) -> str:
    return (
        f'grpcurl -plaintext -H "authorization: Bearer $(cat {token})" \\\n'
        f"  -d '{request}' \\\n"
        f"  {target}"
    )


def _stack_command(state: StateDirectory, command: str, identifier: str = "") -> str:
    """What to type for one of the stack's commands."""
    if state.root == DEFAULT_STATE_DIRECTORY:
        return f"make {command} ID={identifier}" if identifier else f"make {command}"
    # Not resolved: the interpreter of a virtual environment is a link.
    python = _shown(Path(sys.executable))
    typed = f"{python} -m deploy.local {command} --state-directory {_shown(state.root)}"
    return f"{typed} {identifier}".rstrip()


def _shown(path: Path) -> str:
    """A path as short as it can be typed here, quoted for a shell."""
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(short))


def _give_up(sentence: str, exit_code: int) -> int:
    print(sentence, file=sys.stderr)
    return exit_code
