"""The next command to type, ready to be pasted: how each is spelt for this way to the services."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

from casino.ratingslip.v1 import ratingslip_pb2

RATINGSLIP = "casino.ratingslip.v1.RatingSlipService"
LOYALTY = "casino.loyalty.v1.LoyaltyService"

# grpcurl dials a server that is gone for ten seconds; who was just paged knows sooner.
CONNECT_TIMEOUT_SECONDS = 2

# Who waits for whom in Loyalty's database: a session, what it does, and who holds it up.
BLOCKING_SESSIONS_QUERY = (
    "SELECT pid, pg_blocking_pids(pid) AS held_up_by, state, wait_event_type, "
    "now() - xact_start AS since, left(query, 60) AS query "
    "FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
    "ORDER BY xact_start"
)


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """Who signs the services' certificates; and for mutual TLS the operator's own."""

    authority: Path
    certificate: Path | None = None
    private_key: Path | None = None


@dataclasses.dataclass(frozen=True)
class Way:
    """How the operator reaches the services: addresses, token, and the files for TLS."""

    ratingslip: str
    loyalty: str
    token_file: Path
    # None is plain text.
    tls: TlsFiles | None = None

    def get_slip(self, slip: ratingslip_pb2.RatingSlip) -> str:
        """Reads the slip."""
        return self._on_ratingslip("GetRatingSlip", {"rating_slip_id": slip.rating_slip_id})

    def recover_slip(self, slip: ratingslip_pb2.RatingSlip) -> str:
        """Tries once more to credit the slip's points."""
        return self._on_ratingslip("RecoverSlipLoyalty", {"rating_slip_id": slip.rating_slip_id})

    def list_entries(self, **filters: str) -> str:
        """Lists ledger entries."""
        return self._on_loyalty("ListLedgerEntries", filters)

    def reconcile_balance(self, slip: ratingslip_pb2.RatingSlip) -> str:
        """Sets the player's balance to what the entries say; takes an admin."""
        return self._on_loyalty(
            "ReconcileBalance",
            {
                "player_id": slip.player_id,
                "reason": f"Balance drifted; found by slip {slip.rating_slip_id}",
            },
        )

    def reward_in_place(self, slip: ratingslip_pb2.RatingSlip, points: int) -> str:
        """Pays a slip that was refused by a manual reward in its place."""
        return self._on_loyalty(
            "IssueManualReward",
            {
                "player_id": slip.player_id,
                "points": str(points),
                "rating_slip_id": slip.rating_slip_id,
                "reason": f"In place of slip {slip.rating_slip_id}, refused with "
                f"{slip.loyalty_refusal_reason}",
            },
        )

    def check_health(self, address: str) -> str:
        """Asks a service whether it serves; needs no token."""
        options = [*self._transport(), "-connect-timeout", str(CONNECT_TIMEOUT_SECONDS)]
        return " ".join(["grpcurl", *options, address, "grpc.health.v1.Health/Check"])

    def show_blocking_sessions(self) -> str:
        """Shows who holds whom up in Loyalty's database."""
        return f'psql "$LOYALTY_DATABASE_URL" -c {shlex.quote(BLOCKING_SESSIONS_QUERY)}'

    def _on_ratingslip(self, method: str, request: dict[str, str]) -> str:
        return self._call(self.ratingslip, f"{RATINGSLIP}/{method}", request)

    def _on_loyalty(self, method: str, request: dict[str, str]) -> str:
        return self._call(self.loyalty, f"{LOYALTY}/{method}", request)

    def _call(self, address: str, method: str, request: dict[str, str]) -> str:
        token = f'"authorization: Bearer $(cat {shlex.quote(str(self.token_file))})"'
        body = shlex.quote(json.dumps(request))
        parts = ["grpcurl", *self._transport(), "-H", token, "-d", body, address, method]
        return " ".join(parts)

    def _transport(self) -> list[str]:
        if self.tls is None:
            return ["-plaintext"]
        files = [
            ("-cacert", self.tls.authority),
            ("-cert", self.tls.certificate),
            ("-key", self.tls.private_key),
        ]
        return [
            word
            for option, path in files
            if path is not None
            for word in (option, shlex.quote(str(path)))
        ]
