"""One casino of a test: who works there, and the slips they write.

Every test has a casino of its own, so that tests on the same services see nothing of
each other.
"""

from __future__ import annotations

import collections
import datetime
import uuid
from typing import Any, Protocol

import grpc
from google.protobuf import timestamp_pb2
from google.type import money_pb2

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.clients import Client
from tests.integration.identity import Identity

HOUR = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)
# An hour of the usual slip: 50 × 1.5 % × 70 = 52.5 of theoretical win, at 10 points each.
BET = 50
HOUSE_EDGE_PERCENT = "1.5"
DECISIONS_PER_HOUR = 70
POINTS_OF_AN_HOUR = 525
NANOS_PER_UNIT = 1_000_000_000


class Way(Protocol):
    """A way to a service: to its process, or to what stands in front of it."""

    @property
    def channel(self) -> grpc.aio.Channel:
        """Where calls are sent."""


class Ways(Protocol):
    """The ways to both services."""

    @property
    def ratingslip(self) -> Way:
        """To RatingSlip."""

    @property
    def loyalty(self) -> Way:
        """To Loyalty."""


class Casino:
    """A casino nobody has configured, with one member of staff for each role."""

    def __init__(self, pair: Ways, identity: Identity) -> None:
        self.id = new_id()
        self._pair = pair
        self._identity = identity
        self._staff_ids: dict[str, str] = collections.defaultdict(new_id)

    def staff_id(self, role: str) -> str:
        """Who has this role here."""
        return self._staff_ids[role]

    def token(self, role: str, **changes: Any) -> str:
        """A good token for a role; `service` acts for the pit boss."""
        if role == "service":
            return self._identity.service_token(self.id, self.staff_id("pit_boss"), **changes)
        return self._identity.staff_token(role, self.id, self.staff_id(role), **changes)

    def for_role(
        self,
        role: str,
        *,
        ratingslip: Way | None = None,
        loyalty: Way | None = None,
    ) -> Client:
        """The caller with this role, of the pair's services or of others."""
        return self.with_token(self.token(role), ratingslip=ratingslip, loyalty=loyalty)

    def somebody(self, role: str) -> Client:
        """A caller with this role whom nobody has seen: no limit has counted them yet."""
        if role == "service":
            return self.with_token(self._identity.service_token(self.id, new_id()))
        return self.with_token(self._identity.staff_token(role, self.id, new_id()))

    def with_token(
        self,
        token: str | None,
        *,
        ratingslip: Way | None = None,
        loyalty: Way | None = None,
    ) -> Client:
        """A caller with any token, or none."""
        slips, points = ratingslip or self._pair.ratingslip, loyalty or self._pair.loyalty
        return Client(slips.channel, points.channel, token)


def new_id() -> str:
    """An ID nobody has used."""
    return str(uuid.uuid4())


def ago(distance: datetime.timedelta) -> datetime.datetime:
    """A moment in the past."""
    return datetime.datetime.now(datetime.UTC) - distance


def timestamp(moment: datetime.datetime) -> timestamp_pb2.Timestamp:
    """A moment as the protos have it."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def later(stamp: timestamp_pb2.Timestamp, distance: datetime.timedelta) -> timestamp_pb2.Timestamp:
    """A time, moved."""
    return timestamp(stamp.ToDatetime(datetime.UTC) + distance)


def money(units: int, hundredths: int = 0, currency: str = "USD") -> money_pb2.Money:
    """An amount of money."""
    return money_pb2.Money(
        currency_code=currency, units=units, nanos=hundredths * (NANOS_PER_UNIT // 100)
    )


def new_slip(**changes: Any) -> ratingslip_pb2.StartRatingSlipRequest:
    """A new player's slip at a new table, begun two hours ago; `changes` are its fields."""
    usual = {
        "player_id": new_id(),
        "visit_id": new_id(),
        "table_id": new_id(),
        "seat_number": 3,
        "average_bet": money(BET),
        "game_settings": ratingslip_pb2.GameSettings(
            game_name="Blackjack",
            house_edge_percent=HOUSE_EDGE_PERCENT,
            decisions_per_hour=DECISIONS_PER_HOUR,
        ),
        "start_time": timestamp(ago(2 * HOUR)),
    }
    return ratingslip_pb2.StartRatingSlipRequest(**{**usual, **changes})


def new_play(**changes: Any) -> loyalty_pb2.Play:
    """An hour of the usual play, as Loyalty is told of it; `changes` are its fields."""
    start = ago(2 * HOUR)
    usual = {
        "average_bet": money(BET),
        "house_edge_percent": HOUSE_EDGE_PERCENT,
        "decisions_per_hour": DECISIONS_PER_HOUR,
        "point_multiplier": "1",
        "duration_seconds": 3600,
        "start_time": timestamp(start),
        "end_time": timestamp(start + HOUR),
    }
    return loyalty_pb2.Play(**{**usual, **changes})


def new_accrual(**changes: Any) -> loyalty_pb2.AccruePointsFromSlipRequest:
    """An hour of play of a new player, as RatingSlip would send it; `changes` are its fields."""
    usual = {
        "player_id": new_id(),
        "rating_slip_id": new_id(),
        "visit_id": new_id(),
        "play": new_play(),
    }
    return loyalty_pb2.AccruePointsFromSlipRequest(**{**usual, **changes})


def new_reward(**changes: Any) -> loyalty_pb2.IssueManualRewardRequest:
    """100 points for a new player; `changes` are the request's fields."""
    usual = {
        "player_id": new_id(),
        "points": 100,
        "reason": "Waited an hour for a table",
    }
    return loyalty_pb2.IssueManualRewardRequest(**{**usual, **changes})


def new_redemption(**changes: Any) -> loyalty_pb2.RedeemPointsRequest:
    """10 points of a player nobody has seen; `changes` are the request's fields."""
    usual = {
        "player_id": new_id(),
        "points": 10,
        "note": "Dinner for two",
        "idempotency_key": new_id(),
    }
    return loyalty_pb2.RedeemPointsRequest(**{**usual, **changes})


def new_promotion(**changes: Any) -> loyalty_pb2.ApplyPromotionRequest:
    """A campaign's bonus of 50 points for a new player; `changes` are the request's fields."""
    usual: dict[str, Any] = {"player_id": new_id(), "campaign_id": new_id()}
    if "multiplier" not in changes:
        usual = {**usual, "bonus_points": 50}
    return loyalty_pb2.ApplyPromotionRequest(**{**usual, **changes})


def new_reversal(entry_id: str, **changes: Any) -> loyalty_pb2.ReverseEntryRequest:
    """The reversal of an entry; `changes` are the request's fields."""
    usual = {"entry_id": entry_id, "reason": "Entered for the wrong player"}
    return loyalty_pb2.ReverseEntryRequest(**{**usual, **changes})


async def start(boss: Client, **changes: Any) -> ratingslip_pb2.RatingSlip:
    """Opens a slip; `changes` are those of `new_slip`."""
    answer = await boss.call(boss.slips.StartRatingSlip, new_slip(**changes))
    return answer.rating_slip


def an_hour_of(
    slip: ratingslip_pb2.RatingSlip, **changes: Any
) -> ratingslip_pb2.CompleteRatingSlipRequest:
    """The close of a slip an hour after it began; `changes` are the request's fields."""
    usual = {
        "rating_slip_id": slip.rating_slip_id,
        "end_time": later(slip.start_time, HOUR),
    }
    return ratingslip_pb2.CompleteRatingSlipRequest(**{**usual, **changes})


async def complete(
    boss: Client, slip: ratingslip_pb2.RatingSlip, **changes: Any
) -> ratingslip_pb2.CompleteRatingSlipResponse:
    """Closes a slip an hour after it began; `changes` are the request's fields."""
    return await boss.call(boss.slips.CompleteRatingSlip, an_hour_of(slip, **changes))


async def read_slip(reader: Client, rating_slip_id: str) -> ratingslip_pb2.RatingSlip:
    """A slip as it stands."""
    answer = await reader.call(
        reader.slips.GetRatingSlip,
        ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=rating_slip_id),
    )
    return answer.rating_slip


async def read_entries(reader: Client, **filters: Any) -> list[loyalty_pb2.LedgerEntry]:
    """The newest entries that fit the filters of `ListLedgerEntriesRequest`, newest first."""
    answer = await reader.call(
        reader.points.ListLedgerEntries,
        loyalty_pb2.ListLedgerEntriesRequest(page_size=100, **filters),
    )
    assert not answer.next_page_token
    return list(answer.entries)


async def read_events(reader: Client, **filters: Any) -> list[ratingslip_pb2.SlipEvent]:
    """The events that fit the filters of `ListSlipEventsRequest`, oldest first."""
    answer = await reader.call(
        reader.slips.ListSlipEvents,
        ratingslip_pb2.ListSlipEventsRequest(page_size=100, **filters),
    )
    assert not answer.next_page_token
    return list(answer.events)
