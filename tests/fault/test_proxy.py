"""The proxy does to a connection what it says, to the byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from deploy.local.processes import LOOPBACK
from deploy.local.proxy import Direction, Mode, TcpProxy
from deploy.local.replies import ReplyReader, http2_replies, postgres_replies
from tests.integration.patience import PATIENCE_SECONDS, eventually

MESSAGE = b"0123456789"
# Long enough to come through if it were going to.
A_WHILE_SECONDS = 0.2
# A HEADERS frame that ends its stream, with four bytes in it: the trailers of a call.
TRAILERS = b"\x00\x00\x04\x01\x05\x00\x00\x00\x01abcd"
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"


class Server:
    """Sends back what it gets, and remembers how much that was."""

    def __init__(self) -> None:
        self.received = b""
        self.resets = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1024):
                self.received += chunk
                writer.write(chunk)
                await writer.drain()
        except ConnectionResetError:
            self.resets += 1
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, LOOPBACK, 0)
    server.address = f"{LOOPBACK}:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running_server() as running:
        yield running


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(server.address) as proxy:
        yield proxy


class Caller:
    """A connection through a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        self._writer.write(message)
        await self._writer.drain()

    async def receive(self, byte_count: int) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.readexactly(byte_count)

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(A_WHILE_SECONDS):
                await self._reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    async def until_reset(self) -> bytes:
        """What still comes until the connection is reset, as it is and not politely closed."""
        received = b""
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while chunk := await self._reader.read(1):
                    received += chunk
        return received

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Caller]:
    host, _, port = proxy.address.rpartition(":")
    caller = Caller(*await asyncio.open_connection(host, int(port)))
    try:
        yield caller
    finally:
        caller.close()


@pytest.mark.parametrize("byte_count", [1, 7, 10, 13])
async def test_a_cut_on_the_way_there_lets_exactly_so_many_bytes_through(
    byte_count: int, proxy: TcpProxy, server: Server
) -> None:
    proxy.cut_after(byte_count, Direction.TO_SERVER)
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        await caller.send(MESSAGE)
        await caller.until_reset()

    async def was_reset() -> bool:
        return server.resets == 1

    await eventually(was_reset, "the server's end is reset, too")
    assert server.received == (MESSAGE * 2)[:byte_count]
    assert proxy.cut_count == 1


@pytest.mark.parametrize("byte_count", [1, 7, 10])
async def test_a_cut_on_the_way_back_lets_exactly_so_many_bytes_through(
    byte_count: int, proxy: TcpProxy, server: Server
) -> None:
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        await caller.receive(len(MESSAGE))
        # Counted from now on, for a connection that is open.
        proxy.cut_after(byte_count, Direction.FROM_SERVER)
        await caller.send(MESSAGE)

        assert await caller.until_reset() == MESSAGE[:byte_count]
    assert server.received == MESSAGE * 2


async def test_a_cut_of_one_connection_leaves_the_next_alone(proxy: TcpProxy) -> None:
    proxy.cut_after(1, Direction.TO_SERVER, times=1)
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        await caller.until_reset()
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        assert await caller.receive(len(MESSAGE)) == MESSAGE


async def test_a_dropped_reply_is_lost_to_its_last_byte_and_the_server_has_had_the_request(
    proxy: TcpProxy, server: Server
) -> None:
    async with connected(proxy) as caller:
        proxy.drop_next_reply()
        await caller.send(PING)
        assert await caller.receive(len(PING)) == PING
        await caller.send(TRAILERS[:10])
        assert await caller.hears_nothing()
        await caller.send(TRAILERS[10:])

        assert await caller.until_reset() == b""
    assert server.received == PING + TRAILERS
    assert proxy.dropped_reply_count == 1
    async with connected(proxy) as caller:
        await caller.send(TRAILERS)
        assert await caller.receive(len(TRAILERS)) == TRAILERS


async def test_what_is_stalled_comes_through_later(proxy: TcpProxy, server: Server) -> None:
    async with connected(proxy) as caller:
        await proxy.switch(Mode.STALL)
        await caller.send(MESSAGE)
        assert await caller.hears_nothing()
        assert server.received == b""
        await proxy.switch(Mode.PASS)

        assert await caller.receive(len(MESSAGE)) == MESSAGE


async def test_what_is_delayed_comes_through_whole(proxy: TcpProxy) -> None:
    await proxy.switch(Mode.DELAY, delay_seconds=2 * A_WHILE_SECONDS)
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        assert await caller.hears_nothing()
        assert await caller.receive(len(MESSAGE)) == MESSAGE


async def test_swallowed_replies_never_come_and_their_connection_is_reset(
    proxy: TcpProxy, server: Server
) -> None:
    async with connected(proxy) as caller:
        await proxy.switch(Mode.SWALLOW_REPLIES)
        await caller.send(MESSAGE)
        assert await caller.hears_nothing()
        await proxy.switch(Mode.PASS)

        assert await caller.until_reset() == b""
    assert server.received == MESSAGE


async def test_a_refusal_resets_what_is_open_and_lets_nobody_in(proxy: TcpProxy) -> None:
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        await caller.receive(len(MESSAGE))
        await proxy.switch(Mode.REFUSE)
        assert await caller.until_reset() == b""
    with pytest.raises(ConnectionRefusedError):
        async with connected(proxy):
            pass
    await proxy.switch(Mode.PASS)
    async with connected(proxy) as caller:
        await caller.send(MESSAGE)
        assert await caller.receive(len(MESSAGE)) == MESSAGE


async def test_new_connections_go_where_the_proxy_was_pointed_to(proxy: TcpProxy) -> None:
    async with running_server() as other:
        proxy.upstream = other.address
        async with connected(proxy) as caller:
            await caller.send(MESSAGE)
            await caller.receive(len(MESSAGE))
        assert other.received == MESSAGE


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1000])
def test_the_end_of_a_reply_is_seen_however_its_bytes_arrive(chunk_bytes: int) -> None:
    data_that_goes_on = b"\x00\x00\x02\x00\x00\x00\x00\x00\x01ab"
    stream = PING + data_that_goes_on + TRAILERS + PING + TRAILERS

    assert replies_ended(http2_replies(), stream, chunk_bytes) == 2
    assert not http2_replies()(PING).has_some
    assert http2_replies()(data_that_goes_on).has_some


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1000])
def test_postgres_greets_first_and_then_replies_until_it_is_ready(chunk_bytes: int) -> None:
    authenticated, ready = b"R\x00\x00\x00\x08\x00\x00\x00\x00", b"Z\x00\x00\x00\x05I"
    complete = b"C\x00\x00\x00\x06ab"
    greeting = b"N" + authenticated + ready
    stream = greeting + complete + ready + complete + ready

    assert replies_ended(postgres_replies(), stream, chunk_bytes) == 2
    assert not postgres_replies()(greeting).has_some
    assert postgres_replies()(greeting + complete).has_some


def replies_ended(read: ReplyReader, stream: bytes, chunk_bytes: int) -> int:
    chunks = [stream[first : first + chunk_bytes] for first in range(0, len(stream), chunk_bytes)]
    return sum(read(chunk).ended_count for chunk in chunks)
