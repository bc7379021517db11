"""gRPC drops an option it does not know without a word, so a typing error would go unseen."""

from __future__ import annotations

import importlib.util
import pathlib
import re

import pytest

from chassis import client, server

OPTION = re.compile(r'"(grpc\.[a-z0-9_.]+)"')


@pytest.mark.parametrize("module", [client, server], ids=["client", "server"])
def test_every_channel_option_is_one_that_grpc_knows(module: object) -> None:
    source = pathlib.Path(getattr(module, "__file__", "")).read_text(encoding="utf-8")
    named = set(OPTION.findall(source))
    core = importlib.util.find_spec("grpc._cython.cygrpc")
    assert core is not None
    library = pathlib.Path(core.origin or "").read_bytes()

    assert named
    assert {name for name in named if name.encode() not in library} == set()
