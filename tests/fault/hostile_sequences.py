"""Requests that are good, one after the other, and each at the limit of what is good.

Terms that pay nothing or everything, plays of the year 1970 and of the year 9999,
balances of 63 bits: each alone is allowed, so together they must be done, or refused in
clear words. A request that names an entry or a slip gets its ID when it is sent.
"""

from __future__ import annotations

import datetime
import functools
from typing import Any, NamedTuple

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from google.type import money_pb2, timeofday_pb2
from hypothesis import strategies as st

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import timestamp

MOST_STEPS = 14
LARGEST = 2**63 - 1
PLAYER_ID = "a11ce000-0000-4000-8000-000000000001"
VISIT_ID = "a11ce000-0000-4000-8000-000000000002"
TABLE_ID = "a11ce000-0000-4000-8000-000000000003"
CAMPAIGN_ID = "a11ce000-0000-4000-8000-000000000004"
SLIP_IDS = tuple(f"a11ce000-0000-4000-8000-00000000010{number}" for number in range(3))
KEYS = ("", "", "", "key-1", "!" * 128)

_POINTS = (1, 2, 99, 1_000, 2**62, LARGEST - 1, LARGEST)
_TIER_STARTS = (1, 2, 1_000, 2**53, 2**62, LARGEST - 2, LARGEST - 1, LARGEST)
_FACTORS = ("0", "0.0001", "0.9999", "1", "1000")
_ZONES = (
    *("UTC", "Europe/Vienna", "Pacific/Kiritimati", "Pacific/Apia", "Etc/GMT+12"),
    *("Asia/Kathmandu", "America/St_Johns", "Antarctica/Troll", "Africa/Monrovia"),
)
_MICROSECOND = datetime.timedelta(microseconds=1)
_FIRST_MOMENT = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + _MICROSECOND
_LAST_MOMENT = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC) - _MICROSECOND
_NOTES = ("Ten characters", "x" * 500, "می‌خواهم امتیاز", "'; -- ten characters")


class Step(NamedTuple):
    """A request of an RPC, but for the IDs that only an answer before can give."""

    rpc: str
    request: Message

    def __repr__(self) -> str:
        return f"{self.rpc}({' '.join(str(self.request).split())})"


@functools.cache
def sequences() -> st.SearchStrategy[list[Step]]:
    """What happens to one player of one casino, mostly under terms of its own."""
    updates = st.lists(_steps(_updates()), max_size=2)
    # Without points and a slip there is little to do.
    begun = st.tuples(_steps(_REWARDS), _steps(_STARTS)).map(list)
    others = st.lists(
        st.one_of(*(_steps(requests) for requests in _OTHERS)), min_size=3, max_size=MOST_STEPS
    )
    return st.builds(
        lambda *parts: [step for part in parts for step in part], updates, begun, others
    )


def _steps(requests: st.SearchStrategy[Message]) -> st.SearchStrategy[Step]:
    return requests.map(
        lambda request: Step(request.DESCRIPTOR.name.removesuffix("Request"), request)
    )


def _updates() -> st.SearchStrategy[Message]:
    ladders = st.lists(st.sampled_from(_TIER_STARTS), unique=True, max_size=len(_TIER_STARTS)).map(
        sorted
    )
    tiers = st.tuples(ladders, st.lists(st.sampled_from(_FACTORS), min_size=9, max_size=9)).map(
        lambda drawn: [
            loyalty_pb2.ProgramTier(name=f"T{number}", lifetime_start=start, multiplier=factor)
            for number, (start, factor) in enumerate(zip([0, *drawn[0]], drawn[1], strict=False))
        ]
    )
    terms = st.builds(
        loyalty_pb2.LoyaltyTerms,
        points_per_unit=st.sampled_from(["0", "0.0001", "10", "100000"]),
        rounding=st.sampled_from([1, 2, 3]),
        tiers=tiers,
        overdraw_floor=st.sampled_from([0, -1, -5_000, -LARGEST]),
        time_zone=st.sampled_from(_ZONES),
        gaming_day_start=st.builds(
            timeofday_pb2.TimeOfDay, hours=st.integers(0, 23), minutes=st.integers(0, 59)
        ),
    )
    return st.builds(
        loyalty_pb2.UpdateLoyaltyProgramRequest,
        base_version=st.sampled_from([0, 0, 1]),
        terms=terms,
        effective_time=st.none() | st.just(timestamp(_LAST_MOMENT)),
    )


def _amounts(most_units: int) -> st.SearchStrategy[money_pb2.Money]:
    whole = st.sampled_from([(0, 0), (0, 10_000_000), (1, 990_000_000), (most_units, 0)])
    return whole.map(
        lambda parts: money_pb2.Money(currency_code="USD", units=parts[0], nanos=parts[1])
    )


def _moments() -> st.SearchStrategy[timestamp_pb2.Timestamp]:
    now = datetime.datetime.now(datetime.UTC)
    return st.sampled_from([timestamp(each) for each in (_FIRST_MOMENT, now, _LAST_MOMENT)])


def _plays() -> st.SearchStrategy[loyalty_pb2.Play]:
    return st.builds(
        loyalty_pb2.Play,
        average_bet=_amounts(10_000_000),
        house_edge_percent=st.sampled_from(["0", "0.0001", "1.5", "100"]),
        decisions_per_hour=st.sampled_from([1, 70, 10_000]),
        point_multiplier=st.sampled_from(_FACTORS),
        duration_seconds=st.sampled_from([0, 1, 3_600, 366 * 86_400]),
        start_time=_moments(),
        end_time=_moments(),
    ).filter(lambda play: play.start_time.ToMicroseconds() <= play.end_time.ToMicroseconds())


def _of(made: Any, **fields: Any) -> st.SearchStrategy[Message]:
    """Requests of a type; what is no strategy is always the same."""
    return st.builds(
        made,
        **{
            name: value if isinstance(value, st.SearchStrategy) else st.just(value)
            for name, value in fields.items()
        },
    )


_ANY_POINTS = st.sampled_from([*_POINTS, *(-points for points in _POINTS)])
_ANY_NOTE, _ANY_KEY, _ANY_SLIP = (st.sampled_from(each) for each in (_NOTES, KEYS, SLIP_IDS))
_GAMES = st.builds(
    ratingslip_pb2.GameSettings,
    game_name=st.just("g" * 80),
    house_edge_percent=st.sampled_from(["0", "100"]),
    decisions_per_hour=st.sampled_from([1, 10_000]),
    point_multiplier=st.sampled_from(["", *_FACTORS]),
)
_REWARDS = _of(
    loyalty_pb2.IssueManualRewardRequest,
    player_id=PLAYER_ID,
    points=_ANY_POINTS,
    reason=_ANY_NOTE,
    idempotency_key=_ANY_KEY,
)
_STARTS = _of(
    ratingslip_pb2.StartRatingSlipRequest,
    player_id=PLAYER_ID,
    visit_id=VISIT_ID,
    table_id=TABLE_ID,
    seat_number=st.sampled_from([1, 99]),
    average_bet=_amounts(10_000_000),
    game_settings=_GAMES,
)
_OTHERS: tuple[st.SearchStrategy[Message], ...] = (
    _REWARDS,
    _STARTS,
    _of(
        loyalty_pb2.RedeemPointsRequest,
        player_id=PLAYER_ID,
        points=st.sampled_from(_POINTS),
        note=_ANY_NOTE,
        allow_overdraw=st.booleans(),
        idempotency_key=st.sampled_from(["key-1", "key-2", "key-3"]),
    ),
    _of(
        loyalty_pb2.AccruePointsFromSlipRequest,
        player_id=PLAYER_ID,
        rating_slip_id=_ANY_SLIP,
        visit_id=VISIT_ID,
        play=_plays(),
        idempotency_key=_ANY_KEY,
    ),
    _of(
        loyalty_pb2.SuggestPointsRequest,
        player_id=PLAYER_ID,
        rating_slip_id=_ANY_SLIP | st.just(""),
        play=_plays(),
    ),
    _of(
        loyalty_pb2.ApplyPromotionRequest,
        player_id=PLAYER_ID,
        campaign_id=CAMPAIGN_ID,
        rating_slip_id=_ANY_SLIP,
        multiplier=st.sampled_from(["1.0001", "2", "100"]),
    ),
    _of(
        loyalty_pb2.ApplyPromotionRequest,
        player_id=PLAYER_ID,
        campaign_id=CAMPAIGN_ID,
        bonus_points=st.sampled_from(_POINTS),
        idempotency_key=_ANY_KEY,
    ),
    _of(loyalty_pb2.ReverseEntryRequest, reason=_ANY_NOTE, idempotency_key=_ANY_KEY),
    _of(loyalty_pb2.GetPlayerLoyaltyRequest, player_id=PLAYER_ID),
    _of(loyalty_pb2.GetLoyaltyProgramRequest, time=_moments()),
    _of(loyalty_pb2.ReconcileBalanceRequest, player_id=PLAYER_ID, reason=_ANY_NOTE),
    _of(
        loyalty_pb2.ListLedgerEntriesRequest,
        recorded_from=_moments(),
        recorded_before=_moments(),
        player_id=st.sampled_from(["", PLAYER_ID]),
    ),
    _of(ratingslip_pb2.UpdateAverageBetRequest, average_bet=_amounts(10_000_000)),
    _of(ratingslip_pb2.PreviewSlipPointsRequest, average_bet=_amounts(10_000_000)),
    _of(
        ratingslip_pb2.CompleteRatingSlipRequest,
        average_bet=_amounts(10_000_000),
        chips_taken=_amounts(1_000_000_000),
    ),
    _of(ratingslip_pb2.RecoverSlipLoyaltyRequest),
)
