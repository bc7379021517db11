"""The scheduled check of the ledger, from outside: `python -m deploy.image.ledger_check …`.

For each casino whose admin token lies in a directory it calls `CheckBalanceDrift` and then
`VerifyLedger` to the end, and writes one JSON object a line. The service does both by
itself every night, and nothing inside it can tell that its own schedule has stopped. It must
not know the database.

Exit codes: 0 all is well; 1 something drifts or a chain is broken; 69 a casino could not be
checked; 64 there is no token; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from chassis import tls

EXIT_FOUND = 1
EXIT_USAGE = 64
EXIT_UNAVAILABLE = 69

# A check reads every balance and entry of a casino in the server; this is for hundreds of
# thousands of players.
DRIFT_DEADLINE_SECONDS = 300.0
# A call verifies as much as its deadline allows and says where to go on: short calls lose
# little when a replica is replaced under one.
VERIFY_DEADLINE_SECONDS = 20.0
# A lost call is repeated, since both only read; three in a row are an outage.
ATTEMPTS = 3
RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclasses.dataclass(frozen=True)
class LedgerState:
    """What one casino's check has found."""

    token: str
    correlation_id: str
    players_checked: int = 0
    players_drifted: int = 0
    severity: str = ""
    players_verified: int = 0
    entries_verified: int = 0
    breaks: tuple[dict[str, Any], ...] = ()
    # Why it could not be checked; empty when it was.
    error: str = ""

    @property
    def exit_code(self) -> int:
        """What this casino alone would make of the exit code."""
        if self.error:
            return EXIT_UNAVAILABLE
        return EXIT_FOUND if self.players_drifted or self.breaks else 0


def main(arguments: Sequence[str]) -> int:
    """Checks every casino, whatever became of the ones before it."""
    options = _parse(arguments)
    tokens = sorted(options.tokens.glob("*.jwt"))
    if not tokens:
        sys.stderr.write(f"{options.tokens} holds no *.jwt file: no casino can be checked\n")
        return EXIT_USAGE
    codes = set()
    with _open_channel(options) as channel:
        stub = loyalty_pb2_grpc.LoyaltyServiceStub(channel)
        for path in tokens:
            state = check_casino(stub, path)
            codes.add(state.exit_code)
            event = {"event": "ledger_checked", **dataclasses.asdict(state)}
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()
    # A finding is worse than an outage: it is what somebody must look at first.
    return next((code for code in (EXIT_FOUND, EXIT_UNAVAILABLE) if code in codes), 0)


def check_casino(
    stub: loyalty_pb2_grpc.LoyaltyServiceStub, token_file: pathlib.Path
) -> LedgerState:
    """Compares the balances of the token's casino with its entries, and verifies its chains."""
    correlation_id = f"ledger-check-{uuid.uuid4()}"
    state = LedgerState(token_file.name, correlation_id)
    try:
        metadata = (
            # The file is read now: whoever renews it may do so while another casino is checked.
            ("authorization", f"Bearer {token_file.read_text(encoding='ascii').strip()}"),
            ("x-correlation-id", correlation_id),
        )
        drift = _retrying(
            stub.CheckBalanceDrift,
            loyalty_pb2.CheckBalanceDriftRequest(),
            DRIFT_DEADLINE_SECONDS,
            metadata,
        )
        state = dataclasses.replace(
            state,
            players_checked=drift.players_checked,
            players_drifted=drift.players_drifted,
            severity=_word(loyalty_pb2.DriftSeverity.Name(drift.severity), "DRIFT_SEVERITY_"),
        )
        for page in _verification(stub, metadata):
            state = dataclasses.replace(
                state,
                players_verified=state.players_verified + page.players_verified,
                entries_verified=state.entries_verified + page.entries_verified,
                breaks=state.breaks + tuple(_break(each) for each in page.breaks),
            )
    except grpc.RpcError as error:
        return dataclasses.replace(state, error=f"{error.code().name}: {error.details()}")
    except (OSError, ValueError) as error:
        return dataclasses.replace(state, error=f"the token cannot be read: {error}")
    return state


def _verification(
    stub: loyalty_pb2_grpc.LoyaltyServiceStub, metadata: tuple[tuple[str, str], ...]
) -> Iterator[loyalty_pb2.VerifyLedgerResponse]:
    token = ""
    while True:
        request = loyalty_pb2.VerifyLedgerRequest(page_token=token)
        page = _retrying(stub.VerifyLedger, request, VERIFY_DEADLINE_SECONDS, metadata)
        yield page
        token = page.next_page_token
        if not token:
            return


def _retrying(method: Any, request: Any, timeout: float, metadata: Any) -> Any:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return method(request, timeout=timeout, metadata=metadata, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() not in RETRYABLE or attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _break(found: loyalty_pb2.ChainBreak) -> dict[str, Any]:
    return {
        "player_id": found.player_id,
        "entry_number": found.entry_number,
        "entry_id": found.entry_id,
        "fault": _word(loyalty_pb2.ChainFault.Name(found.fault), "CHAIN_FAULT_"),
    }


def _word(name: str, prefix: str) -> str:
    word = name.removeprefix(prefix)
    return "" if word == "UNSPECIFIED" else word


def _open_channel(options: argparse.Namespace) -> grpc.Channel:
    if options.authority_file is None:
        return grpc.insecure_channel(options.loyalty)
    credentials = tls.channel_credentials(
        options.authority_file, options.certificate_file, options.private_key_file
    )
    return grpc.secure_channel(options.loyalty, credentials)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.image.ledger_check",
        description="Checks each casino's balances and hash chains, and says what it found.",
    )
    parser.add_argument("--loyalty", required=True, metavar="HOST:PORT")
    parser.add_argument(
        "--tokens",
        required=True,
        type=pathlib.Path,
        metavar="DIRECTORY",
        help="holds a file NAME.jwt for each casino: the token of an admin of it",
    )
    parser.add_argument(
        "--authority-file",
        type=pathlib.Path,
        help="who signed Loyalty's certificate; without it, plain text",
    )
    parser.add_argument("--certificate-file", type=pathlib.Path, help="for mutual TLS")
    parser.add_argument("--private-key-file", type=pathlib.Path, help="for mutual TLS")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
