"""`python -m deploy.explain ID`: what happened to a slip or a call, why, and what to type next."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import sys
from pathlib import Path

import grpc
import jwt

from deploy.explain import report
from deploy.explain.asking import Asker
from deploy.explain.causes import Cause
from deploy.explain.commands import TlsFiles, Way
from deploy.explain.gathering import gather
from deploy.explain.trace_store import QUERY_PATH, TraceStore
from deploy.explain.verdict import judge

# What the embedded stack writes when it is up, below its state directory.
STACK_FILE = "stack.json"
TOKEN_FILE = "tokens/admin.jwt"  # noqa: S105 - where it lies
DEFAULT_STATE_DIRECTORY = Path(".local")

EXIT_NOTHING_FOUND = 1
EXIT_USAGE = 64

_NOTHING_TO_SAY = frozenset({Cause.UNKNOWN_ID, Cause.NOT_PERMITTED, Cause.RATINGSLIP_UNREACHABLE})


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the services are, and the trace store, if there is one."""

    way: Way
    trace_store: TraceStore | None


def main() -> int:
    """Explains one identifier; 0 when there was something to explain."""
    options = _parser().parse_args()
    try:
        return asyncio.run(explain(options.identifier, _target(options), as_json=options.json))
    except (OSError, ValueError) as error:
        print(f"explain: {error}", file=sys.stderr)
        return EXIT_USAGE


async def explain(identifier: str, target: Target, *, as_json: bool) -> int:
    """Gathers, judges and prints."""
    way = target.way
    token = way.token_file.read_text(encoding="utf-8").strip()
    async with contextlib.AsyncExitStack() as channels:
        ratingslip = await channels.enter_async_context(_channel(way.ratingslip, way))
        loyalty = await channels.enter_async_context(_channel(way.loyalty, way))
        asker = Asker(ratingslip, loyalty, token)
        evidence = await gather(identifier, asker, target.trace_store)
    evidence.casino_id = casino_of(token)
    verdicts = judge(evidence, way)
    show = report.as_json if as_json else report.as_text
    print(show(evidence, verdicts, target.trace_store))
    return EXIT_NOTHING_FOUND if verdicts[0].cause in _NOTHING_TO_SAY else 0


def casino_of(token: str) -> str:
    """The casino a token is for, which the services judge and this only shows; else empty."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return ""
    return str(claims.get("casino_id", ""))


def _channel(address: str, way: Way) -> grpc.aio.Channel:
    if way.tls is None:
        return grpc.aio.insecure_channel(address)
    files = (way.tls.authority, way.tls.private_key, way.tls.certificate)
    pems = [None if file is None else file.read_bytes() for file in files]
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*pems))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.explain", description=__doc__)
    parser.add_argument("identifier", help="a rating slip ID, a correlation ID or a trace ID")
    parser.add_argument(
        "--state-directory",
        type=Path,
        default=DEFAULT_STATE_DIRECTORY,
        help="the embedded stack's, which names all of the following (default: %(default)s)",
    )
    parser.add_argument("--ratingslip", help="host:port of RatingSlip")
    parser.add_argument("--loyalty", help="host:port of Loyalty")
    parser.add_argument("--token-file", type=Path, help="a staff token: cashier, pit_boss or admin")
    parser.add_argument("--authority-file", type=Path, help="who signs the services' certificates")
    parser.add_argument("--certificate-file", type=Path, help="the operator's, for mutual TLS")
    parser.add_argument("--private-key-file", type=Path, help="the key of that certificate")
    parser.add_argument("--trace-store", help="base URL of Jaeger's query API")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _target(options: argparse.Namespace) -> Target:
    """What the options say, else the embedded stack; raises `ValueError` for half of a way."""
    given = (options.ratingslip, options.loyalty, options.token_file)
    if all(given):
        way = Way(options.ratingslip, options.loyalty, options.token_file, _tls_files(options))
        return Target(way, TraceStore(options.trace_store) if options.trace_store else None)
    if any(given):
        raise ValueError("--ratingslip, --loyalty and --token-file go together")
    return _local_target(options.state_directory, options.trace_store)


def _tls_files(options: argparse.Namespace) -> TlsFiles | None:
    own = (options.certificate_file, options.private_key_file)
    if any(own) and not all((*own, options.authority_file)):
        raise ValueError("--certificate-file, --private-key-file and --authority-file go together")
    return TlsFiles(options.authority_file, *own) if options.authority_file else None


def _local_target(state_directory: Path, trace_store: str | None) -> Target:
    try:
        facts = json.loads((state_directory / STACK_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"no stack is up in {state_directory}; name one with --ratingslip, --loyalty and "
            "--token-file"
        ) from None
    way = Way(facts["ratingslip"], facts["loyalty"], state_directory / TOKEN_FILE)
    if trace_store:
        return Target(way, TraceStore(trace_store))
    # The embedded stack's has no user interface: its own answer is all there is to look at.
    return Target(way, TraceStore(facts["trace_query_endpoint"], trace_path=QUERY_PATH))


if __name__ == "__main__":
    sys.exit(main())
