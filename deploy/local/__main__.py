"""The stack from the command line: `python -m deploy.local up | down | trace | demo | rehearse`."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from pathlib import Path
from typing import TypeAlias

from deploy.local.demo.command import run_demo
from deploy.local.demo.gaming_day import FILE_FORMAT
from deploy.local.handshake import Kind
from deploy.local.postgres import PostgresCluster
from deploy.local.processes import end_with_parent
from deploy.local.rehearsal.command import REHEARSAL_DIRECTORY, run_rehearsal
from deploy.local.rehearsal.faults import FAULTS
from deploy.local.services import LOYALTY, RATINGSLIP
from deploy.local.stack import StackError, StackOwner, stop_stack
from deploy.local.state import DEFAULT_STATE_DIRECTORY, StackFacts, StateDirectory
from deploy.local.supervisor import Ports
from deploy.local.traces import find_by_id, is_settled, render_trace, wait_for_trace

# As argparse names what `add_subparsers` returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
# A call that ended just now has its spans filed well within this.
TRACE_TIMEOUT_SECONDS = 3.0
# As shells report a program ended by Ctrl-C.
EXIT_INTERRUPTED = 130


def main() -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args()
    state = StateDirectory(options.state_directory)
    try:
        match options.command:
            case "up":
                return asyncio.run(up(state, Ports(options.ratingslip_port, options.loyalty_port)))
            case "down":
                return asyncio.run(down(state, options.delete_data))
            case "demo":
                end_with_parent()
                return run_demo(options.slips, options.state_directory)
            case "rehearse":
                end_with_parent()
                return run_rehearsal(
                    options.fault,
                    options.state_directory,
                    as_json=options.json,
                    pauses=not options.no_pause and sys.stdin.isatty() and sys.stdout.isatty(),
                )
            case _:
                return asyncio.run(trace(state, options.identifier))
    except KeyboardInterrupt:
        print("Interrupted; nothing was left running.", file=sys.stderr)
        return EXIT_INTERRUPTED


async def up(state: StateDirectory, ports: Ports) -> int:
    """Starts the stack and leaves it running."""
    owner = StackOwner(state, ports, lambda text: print(f"  {text} …", flush=True))
    try:
        async with owner as facts:
            owner.release()
    except StackError as error:
        if error.kind is Kind.ALREADY_RUNNING:
            print(_already_running(state), file=sys.stderr)
        else:
            print(f"The stack did not start: {error}", file=sys.stderr)
        return 1
    print(_summary(facts))
    return 0


async def down(state: StateDirectory, delete_data: bool) -> int:
    """Stops the stack, if one runs."""
    try:
        was_running = await stop_stack(state)
    except StackError as error:
        print(f"The stack did not stop: {error}", file=sys.stderr)
        return 1
    print("The stack is down." if was_running else "No stack is running.")
    if delete_data:
        PostgresCluster(state.postgres).delete()
        print("Its databases are deleted.")
    return 0


async def trace(state: StateDirectory, identifier: str) -> int:
    """Prints the traces of a trace ID or correlation ID."""
    # Its last spans may still be on their way; then wait for them.
    await wait_for_trace(state.traces_file, identifier, is_settled, TRACE_TIMEOUT_SECONDS)
    traces = find_by_id(state.traces_file, identifier)
    if not traces:
        print(f"No trace of {identifier} in {state.traces_file}.", file=sys.stderr)
        return 1
    for spans in traces:
        print(f"trace {spans[0].trace_id}")
        print(f"{render_trace(spans)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--state-directory",
        type=Path,
        default=DEFAULT_STATE_DIRECTORY,
        help="where the stack keeps its data, keys and logs (default: .local of this checkout)",
    )
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", parents=[shared], help="start the stack, leave it running")
    for service in (RATINGSLIP, LOYALTY):
        start.add_argument(
            f"--{service.name}-port",
            type=_port,
            default=service.default_port,
            help=f"where {service.title} listens (default: %(default)s; 0: any free port)",
        )
    stop = commands.add_parser("down", parents=[shared], help="stop the stack")
    stop.add_argument("--delete-data", action="store_true", help="delete its databases as well")
    replay = commands.add_parser(
        "demo",
        parents=[shared],
        help="replay a day of rating slips through the stack",
        epilog=FILE_FORMAT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("--slips", type=Path, help="a CSV of rating slips; see below")
    _add_rehearse(commands)
    show = commands.add_parser("trace", parents=[shared], help="print a trace as a tree")
    show.add_argument("identifier", help="a trace ID or a correlation ID")
    return parser


def _add_rehearse(commands: Commands) -> None:
    """`rehearse` breaks a stack of its own, so its state directory is another by default."""
    rehearse = commands.add_parser(
        "rehearse", help="make a fault on a stack of its own, and walk through finding it"
    )
    rehearse.add_argument("fault", choices=FAULTS, help="what is to break")
    rehearse.add_argument(
        "--state-directory",
        type=Path,
        default=REHEARSAL_DIRECTORY,
        help="where that stack keeps its data (default: .local/rehearsal of this checkout)",
    )
    rehearse.add_argument("--json", action="store_true", help="print what was seen, and no walk")
    rehearse.add_argument("--no-pause", action="store_true", help="never wait for Enter")


def _port(text: str) -> int:
    port = int(text)
    # Those below are the system's.
    if port != 0 and not 1024 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is neither 0 nor between 1024 and 65535")
    return port


def _already_running(state: StateDirectory) -> str:
    facts = state.running_stack()
    if facts is None:
        return f"Another stack on {state.root} is starting or stopping; try again in a moment."
    return (
        "A stack is already running and was left as it is:\n"
        f"{_addresses(facts)}"
        f"Stop it with: {_command('down', state)}"
    )


def _summary(facts: StackFacts) -> str:
    token = _shown(Path(facts.tokens_directory) / "pit_boss.jwt")
    return (
        "The stack is up; both services are serving.\n"
        f"{_addresses(facts)}"
        f"  Metrics     {facts.ratingslip_metrics}\n"
        f"              {facts.loyalty_metrics}\n"
        f"  Traces      {facts.trace_query_endpoint}/api/v3/traces/{{trace ID}}\n"
        f"  Tokens      {_shown(Path(facts.tokens_directory))}\n"
        f"  Logs        {_shown(Path(facts.logs_directory))}\n"
        "Try:\n"
        f'  grpcurl -plaintext -H "authorization: Bearer $(cat {token})" \\\n'
        f"    -d '{{}}' {facts.ratingslip} casino.ratingslip.v1.RatingSlipService/ListRatingSlips\n"
        f"Stop it with: {_command('down', StateDirectory(Path(facts.tokens_directory).parent))}"
    )


def _addresses(facts: StackFacts) -> str:
    return f"  RatingSlip  {facts.ratingslip}\n  Loyalty     {facts.loyalty}\n"


def _command(name: str, state: StateDirectory) -> str:
    if state.root == DEFAULT_STATE_DIRECTORY:
        return f"make {name}"
    return f"python -m deploy.local {name} --state-directory {_shown(state.root)}"


def _shown(path: Path) -> str:
    """A path as short as it can be typed here, quoted for a shell."""
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(short))


if __name__ == "__main__":
    sys.exit(main())
