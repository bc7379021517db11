"""What tests ask of the rehearsals' stack, past the shell that they type into."""

from __future__ import annotations

import uuid
from typing import Any

import grpc

from casino.loyalty.v1 import loyalty_pb2
from casino.loyalty.v1.loyalty_pb2_grpc import LoyaltyServiceStub
from deploy.local.demo.calls import Caller
from deploy.local.rehearsal.ground import Ground

# The largest page there is; no test writes as many entries of anything.
PAGE_SIZE = 100


async def entries_of(ground: Ground, **filters: Any) -> list[loyalty_pb2.LedgerEntry]:
    """The ledger's entries, newest first; `filters` are those of ListLedgerEntries."""
    request = loyalty_pb2.ListLedgerEntriesRequest(page_size=PAGE_SIZE, **filters)
    async with grpc.aio.insecure_channel(ground.facts.loyalty) as channel:
        admin = Caller(ground.facts.token("admin"))
        stub = LoyaltyServiceStub(channel)
        answer = await admin.call(stub.ListLedgerEntries, request, f"test-{uuid.uuid4()}")
    return list(answer.entries)


def spelt_alike(output: str) -> str:
    """Without underscores and in lower case: grpcurl's versions differ in how they spell fields."""
    return output.replace("_", "").lower()
