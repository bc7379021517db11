"""The stakes a request describes: a new slip's facts and optional amounts, parsed and checked."""

from __future__ import annotations

from decimal import Decimal

from google.protobuf.message import Message

from casino.ratingslip.v1 import ratingslip_pb2
from chassis.validation import Fields
from ratingslip_service.slips import Amount, NewSlip

# No table in the world takes a higher bet, in any currency with hundredths; and no
# player leaves with more chips.
LARGEST_BET_UNITS = 10_000_000
LARGEST_CHIPS_UNITS = 1_000_000_000
LARGEST_PERCENT = 100
# A decision every third of a second, all hour long.
MOST_DECISIONS_PER_HOUR = 10_000
LARGEST_MULTIPLIER = 1_000
LONGEST_GAME_NAME_CHARACTERS = 80
LAST_SEAT_NUMBER = 99


def parse_new_slip(fields: Fields, request: ratingslip_pb2.StartRatingSlipRequest) -> NewSlip:
    """Reads a StartRatingSlipRequest; every violation goes to `fields`."""
    game = request.game_settings
    return NewSlip(
        player_id=fields.uuid("player_id", request.player_id),
        visit_id=fields.uuid("visit_id", request.visit_id),
        table_id=fields.uuid("table_id", request.table_id),
        seat_number=fields.whole_number("seat_number", request.seat_number, 1, LAST_SEAT_NUMBER),
        average_bet=fields.money("average_bet", request.average_bet, LARGEST_BET_UNITS),
        currency_code=request.average_bet.currency_code,
        game_name=fields.text(
            "game_settings.game_name", game.game_name, LONGEST_GAME_NAME_CHARACTERS
        ),
        house_edge_percent=fields.decimal(
            "game_settings.house_edge_percent", game.house_edge_percent, LARGEST_PERCENT
        ),
        decisions_per_hour=fields.whole_number(
            "game_settings.decisions_per_hour", game.decisions_per_hour, 1, MOST_DECISIONS_PER_HOUR
        ),
        point_multiplier=fields.decimal(
            "game_settings.point_multiplier", game.point_multiplier, LARGEST_MULTIPLIER
        )
        if game.point_multiplier
        else Decimal(1),
        start_time=fields.optional_time(request, "start_time"),
    )


def parse_bet(fields: Fields, request: ratingslip_pb2.UpdateAverageBetRequest) -> Amount:
    """The required new average bet; every violation goes to `fields`."""
    money = request.average_bet
    return Amount(fields.money("average_bet", money, LARGEST_BET_UNITS), money.currency_code)


def parse_optional_amount(fields: Fields, message: Message, field: str, most_units: int) -> Amount:
    """The message's Money `field`; no amount when it is not set."""
    if not message.HasField(field):
        return Amount()
    money = getattr(message, field)
    return Amount(fields.money(field, money, most_units), money.currency_code)
