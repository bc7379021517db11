"""Writes the dashboards' JSON, which Grafana loads.

python -m deploy.observability.dashboards            writes it
python -m deploy.observability.dashboards --check    exits with 1 when the files have other
"""

from __future__ import annotations

import argparse
import pathlib

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.observability.dashboards import close, ledger, machine

DIRECTORY = pathlib.Path(__file__).parent


def rendered() -> dict[str, str]:
    """The JSON of each dashboard, by its file's name."""
    built = {
        "close": close.dashboard(),
        "ledger": ledger.dashboard(),
        "machine": machine.dashboard(),
    }
    return {f"{name}.json": _as_json(dashboard) for name, dashboard in built.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether they are stale")
    arguments = parser.parse_args()
    wanted = rendered()
    if not arguments.check:
        for name, text in wanted.items():
            (DIRECTORY / name).write_text(text, encoding="utf-8")
        return
    present = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}
    stale = sorted(
        name for name in present.keys() | wanted if present.get(name) != wanted.get(name)
    )
    if stale:
        raise SystemExit(f"stale dashboards: {', '.join(stale)}; run `make dashboards`")


def _as_json(dashboard: Dashboard) -> str:
    # Sorted, so that another version of the SDK changes what it must and no more.
    return JSONEncoder(indent=2, sort_keys=True).encode(dashboard.build()) + "\n"


if __name__ == "__main__":
    main()
