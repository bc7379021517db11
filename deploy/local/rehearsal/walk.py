"""The walk from a fault to the player's points, one step after the other.

    1  before       some slips are closed and paid
    2  the fault    is made
    3  the symptom  a pit boss closes a slip, three times, and gets an error
    4  the alert    what it looks at is past its threshold
    5  explain      names the cause and the next command, which is typed
    6  mended       what broke is ended
    7  paid         what explain named as the last command is typed, and the slip is paid

Every command is run by a shell as it is printed. Owns the steps and what is noted of them;
how a step is shown, the narrator knows.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

from deploy.local.rehearsal.alerts import Alert, read_alert
from deploy.local.rehearsal.faults import CLOSE, Alarm, Fault
from deploy.local.rehearsal.figures import Figure, read_figure
from deploy.local.rehearsal.ground import Ground
from deploy.local.rehearsal.play import Pit, StartedSlip
from deploy.local.rehearsal.shell import Shell, Typed
from deploy.local.services import LOYALTY, RATINGSLIP, Service
from deploy.local.state import PROJECT_DIRECTORY

ORDINARY_SLIPS = 2
# Besides the one that is shown.
FURTHER_TRIES = 2
# Slips without points are counted every five seconds, on a busy machine later.
FIGURE_PATIENCE_SECONDS = 30.0
FIGURE_POLL_SECONDS = 0.25
# As PARTIAL_COMPLETION's RetryInfo says; and what a slow machine may need.
RETRY_DELAY_SECONDS = 2.0
MOST_TRIES = 5
# As `explain` calls it when the points are there; late, when attempts had failed.
PAID = frozenset({"PAID", "PAID_LATE"})
SLIPS_WITHOUT_POINTS = Figure("casino_ratingslip_unsettled_slips")
CHECK_DRIFT = "casino.loyalty.v1.LoyaltyService/CheckBalanceDrift"


class RehearsalFailed(Exception):
    """The rehearsal did not go as it must; the message says where."""


class Narrator(Protocol):
    """Shows the walk to somebody."""

    async def step(self, title: str) -> None:
        """Begins a step; returns when it may be taken."""

    def say(self, text: str) -> None:
        """Some sentences."""

    def typed(self, typed: Typed) -> None:
        """A command and what it printed."""


@dataclass(frozen=True)
class Finding:
    """What `explain` said: why, in a word and in a sentence, and what to type next and last."""

    cause: str
    verdict: str
    next_command: str
    # What finishes the case once the cause is mended; empty when the next command does.
    afterwards: str
    runbook: str


@dataclass
class Rehearsed:
    """What was seen on the way."""

    fault: str
    rating_slip_id: str = ""
    # What the pit boss was shown.
    symptom: str = ""
    alert: str = ""
    runbook: str = ""
    figure: str = ""
    figure_before: float = 0.0
    figure_during: float = 0.0
    threshold: float = 0.0
    # While the fault lasts, and after the last command.
    finding: Finding | None = None
    last_finding: Finding | None = None
    # The commands that `explain` named, and what they printed.
    typed: list[Typed] = field(default_factory=list)
    slips_without_points_before: float = 0.0
    slips_without_points_after: float = 0.0

    @property
    def is_paid(self) -> bool:
        """Whether `explain` says so at last."""
        return self.last_finding is not None and self.last_finding.cause in PAID


class Walk:
    """One fault, walked through on a ground that serves."""

    def __init__(self, ground: Ground, fault: Fault, shell: Shell, narrator: Narrator) -> None:
        self._ground = ground
        self._fault = fault
        self._shell = shell
        self._narrator = narrator
        self._seen = Rehearsed(fault.name)

    async def run(self) -> Rehearsed:
        """Takes every step; what was broken is mended afterwards, however this ends.

        Raises:
            RehearsalFailed: a step did not show what it must.
        """
        slip = await self._play_before()
        await self._narrator.step("The fault")
        self._narrator.say(self._fault.making)
        async with self._fault.made(self._ground, slip):
            await self._show_symptom(slip)
            await self._show_alert()
            finding = await self._find(slip)
            await self._narrator.step("What broke is ended")
        self._narrator.say(self._fault.mending)
        await self._finish(slip, finding)
        await self._show_normal()
        return self._seen

    async def _play_before(self) -> StartedSlip:
        await self._narrator.step("Before")
        pit = Pit(self._ground.facts)
        played = [await pit.play() for _ in range(ORDINARY_SLIPS)]
        # The slip that will go wrong is of a player who has points.
        slip = await pit.start(played[-1].player_id)
        self._seen.rating_slip_id = slip.rating_slip_id
        self._seen.figure_before = await self._figure(self._fault.alarm)
        self._seen.slips_without_points_before = await self._slips_without_points()
        self._narrator.say(
            f"{ORDINARY_SLIPS} slips were closed and paid. Slip {slip.rating_slip_id} is open."
        )
        return slip

    async def _show_symptom(self, slip: StartedSlip) -> None:
        await self._narrator.step("The symptom: what the pit boss sees")
        command = self._grpcurl(
            "pit_boss", f'{{"rating_slip_id": "{slip.rating_slip_id}"}}', RATINGSLIP, CLOSE
        )
        closed = await self._shell.run(command)
        self._narrator.typed(closed)
        if closed.exit_code == 0:
            raise RehearsalFailed("the close went through as if nothing had been broken")
        self._seen.symptom = closed.output
        await asyncio.gather(*(self._shell.run(command) for _ in range(FURTHER_TRIES)))
        self._narrator.say(f"The pit boss tries {FURTHER_TRIES} times more, with the same answer.")

    async def _show_alert(self) -> None:
        alarm = self._fault.alarm
        alert = read_alert(alarm.alert)
        await self._narrator.step("The alert")
        if alarm.needs_drift_check:
            self._narrator.say(
                "The daily check comes to it at night; an admin may ask for one now."
            )
            self._narrator.typed(
                await self._shell.run(self._grpcurl("admin", "{}", LOYALTY, CHECK_DRIFT))
            )
        self._seen.alert, self._seen.runbook = alert.name, alert.runbook
        self._seen.figure, self._seen.threshold = str(alarm.figure), alarm.threshold
        self._seen.figure_during = await self._figure_past_threshold(alarm)
        self._narrator.say(self._alert_text(alert))

    def _alert_text(self, alert: Alert) -> str:
        seen = self._seen
        return (
            f"{alert.name} ({alert.severity})\n"
            f"  {alert.expression}\n"
            f"{seen.figure}\n"
            f"  was {seen.figure_before:g} and is {seen.figure_during:g};"
            f" it comes when more than {seen.threshold:g} are new\n"
            f"Its runbook: {alert.runbook}"
        )

    async def _figure_past_threshold(self, alarm: Alarm) -> float:
        give_up_at = time.monotonic() + FIGURE_PATIENCE_SECONDS
        while True:
            value = await self._figure(alarm)
            if value - self._seen.figure_before > alarm.threshold:
                return value
            if time.monotonic() >= give_up_at:
                raise RehearsalFailed(f"{alarm.figure} stays at {value:g}")
            await asyncio.sleep(FIGURE_POLL_SECONDS)

    async def _find(self, slip: StartedSlip) -> Finding:
        await self._narrator.step("explain")
        command = self._explain_command(slip.rating_slip_id)
        self._narrator.typed(await self._shell.run(command))
        self._seen.finding = finding = await self._explain(slip)
        await self._narrator.step("The next command")
        await self._type(finding.next_command)
        return finding

    async def _finish(self, slip: StartedSlip, finding: Finding) -> None:
        await self._narrator.step("The last command")
        command = finding.afterwards or finding.next_command
        await self._type(command)
        tries = 1
        while self._seen.typed[-1].exit_code and tries < MOST_TRIES:
            # What was away is back, and RatingSlip finds it again within a second or two.
            self._narrator.say("Once more, after the two seconds that RetryInfo names:")
            await asyncio.sleep(RETRY_DELAY_SECONDS)
            await self._type(command)
            tries += 1
        self._seen.last_finding = await self._explain(slip)
        self._narrator.say(f"explain says now: {self._seen.last_finding.verdict}")
        if not self._seen.is_paid:
            raise RehearsalFailed(f"the slip is not paid: {self._seen.last_finding.verdict}")

    async def _type(self, command: str) -> None:
        typed = await self._shell.run(command)
        self._seen.typed.append(typed)
        self._narrator.typed(typed)

    async def _explain(self, slip: StartedSlip) -> Finding:
        answer = await self._shell.run(f"{self._explain_command(slip.rating_slip_id)} --json")
        try:
            said = json.loads(answer.output)
        except ValueError:
            raise RehearsalFailed(f"explain did not answer: {answer.output}") from None
        return Finding(**{each.name: said[each.name] for each in fields(Finding)})

    async def _show_normal(self) -> None:
        await self._narrator.step("Over")
        give_up_at = time.monotonic() + FIGURE_PATIENCE_SECONDS
        before = self._seen.slips_without_points_before
        while (left := await self._slips_without_points()) > before:
            if time.monotonic() >= give_up_at:
                raise RehearsalFailed(f"{left:g} slips are without points, and {before:g} were")
            await asyncio.sleep(FIGURE_POLL_SECONDS)
        self._seen.slips_without_points_after = left
        self._narrator.say(
            f"{SLIPS_WITHOUT_POINTS}\n  is {left:g}, as before.\n"
            f"Read {self._runbooks()} now; it has what this rehearsal left out."
        )

    def _runbooks(self) -> str:
        named = [self._seen.runbook, self._seen.finding.runbook if self._seen.finding else ""]
        return " and ".join(dict.fromkeys(name for name in named if name))

    async def _slips_without_points(self) -> float:
        return await read_figure(self._ground.facts.ratingslip_metrics, SLIPS_WITHOUT_POINTS)

    async def _figure(self, alarm: Alarm) -> float:
        facts = self._ground.facts
        is_loyalty = alarm.service is LOYALTY
        url = facts.loyalty_metrics if is_loyalty else facts.ratingslip_metrics
        return await read_figure(url, alarm.figure)

    def _grpcurl(self, role: str, request: str, service: Service, method: str) -> str:
        facts = self._ground.facts
        address = facts.loyalty if service is LOYALTY else facts.ratingslip
        token = _shown(Path(facts.tokens_directory) / f"{role}.jwt")
        return (
            f'grpcurl -plaintext -H "authorization: Bearer $(cat {token})" \\\n'
            f"  -d '{request}' \\\n"
            f"  {address} {method}"
        )

    def _explain_command(self, identifier: str) -> str:
        python, state = _shown(Path(sys.executable)), _shown(self._ground.state.root)
        return f"{python} -m deploy.explain {identifier} --state-directory {state}"


def _shown(path: Path) -> str:
    """A path as short as it can be typed in the checkout, quoted for a shell."""
    is_below = path.is_relative_to(PROJECT_DIRECTORY)
    return shlex.quote(str(path.relative_to(PROJECT_DIRECTORY) if is_below else path))
