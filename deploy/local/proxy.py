"""A TCP proxy that fails on demand: refuses, delays, stalls, loses replies, cuts at a byte.

It knows connections and bytes; what of them is a reply it is told by `replies.py`. It runs in
the event loop of whoever makes it:

    async with TcpProxy("127.0.0.1:50051") as proxy:
        … talk to proxy.address …
        await proxy.switch(Mode.STALL)
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import socket
import struct
from collections.abc import Callable
from typing import Self

from deploy.local.processes import LOOPBACK, free_port
from deploy.local.replies import ReplyReader, http2_replies

CHUNK_BYTES = 64 * 1024
# Closing a socket with this option resets the connection instead of ending it politely.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# Long against the microseconds of a hop over loopback, short against every time limit.
USUAL_DELAY_SECONDS = 0.02


class Mode(enum.Enum):
    """What happens to the connections, those that are open and those to come."""

    # Everything goes through.
    PASS = enum.auto()
    # Open connections are reset, and new ones refused: nobody listens.
    REFUSE = enum.auto()
    # Connections are accepted and kept, and no byte moves: a black hole. What was held
    # back goes through when the mode changes.
    STALL = enum.auto()
    # Requests go through and every answer is lost. A connection that lost bytes is reset
    # when the mode changes, because its peers could not understand what comes next.
    SWALLOW_REPLIES = enum.auto()
    # Everything goes through, each chunk a little later.
    DELAY = enum.auto()


class Direction(enum.Enum):
    """Which way bytes go."""

    TO_SERVER = enum.auto()
    FROM_SERVER = enum.auto()


@dataclasses.dataclass
class _Cut:
    """After how many bytes in which direction each connection is reset."""

    byte_count: int
    direction: Direction
    # How many connections are cut; None for all of them.
    times: int | None


class TcpProxy:
    """One listening port in front of one upstream address.

    `upstream` may be pointed elsewhere at any time; connections that are open stay with
    the server they have. `new_reader` knows replies of the server's protocol, for one connection.
    """

    def __init__(
        self, upstream: str, new_reader: Callable[[], ReplyReader] = http2_replies
    ) -> None:
        self.upstream = upstream
        self._new_reader = new_reader
        # Chosen once: whoever connects must find it again after a refusal.
        self._port = free_port()
        self._mode = Mode.PASS
        self._delay_seconds = USUAL_DELAY_SECONDS
        self._cut: _Cut | None = None
        self._drops_next_reply = False
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self.cut_count = 0
        self.dropped_reply_count = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._refuse()

    @property
    def address(self) -> str:
        """host:port to connect to instead of the upstream's."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def mode(self) -> Mode:
        """What happens to the connections now."""
        return self._mode

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def switch(self, mode: Mode, *, delay_seconds: float = USUAL_DELAY_SECONDS) -> None:
        """Changes what happens from now on; a cut or a drop that was ordered is called off.

        `delay_seconds` is what each chunk waits in Mode.DELAY.
        """
        self._mode = mode
        self._delay_seconds = delay_seconds
        self._cut = None
        self._drops_next_reply = False
        if mode is Mode.REFUSE:
            await self._refuse()
        elif mode is not Mode.SWALLOW_REPLIES:
            await self._reset([each for each in self._connections if each.has_lost_bytes])
        if mode is Mode.STALL:
            self._moving.clear()
        else:
            self._moving.set()
        if mode is not Mode.REFUSE and self._server is None:
            await self._listen()

    def cut_after(self, byte_count: int, direction: Direction, *, times: int | None = None) -> None:
        """Resets each connection after it has carried exactly so many bytes in a direction.

        Bytes are counted from now on for the connections that are open. With `times`
        only so many connections are cut; otherwise it goes on until the next `switch`.
        """
        self._cut = _Cut(byte_count, direction, times)
        for connection in self._connections:
            connection.carried_bytes = dict.fromkeys(Direction, 0)

    def drop_next_reply(self) -> None:
        """Loses the next reply, to its last byte, and then resets its connection.

        What is no reply, such as a greeting or a ping, goes through. Other connections
        that have lost a part of theirs by then are reset, too. `dropped_reply_count` counts
        the replies that were lost.
        """
        self._drops_next_reply = True

    async def reset_connections(self) -> None:
        """Resets the connections that are open; new ones are served as before."""
        await self._reset(list(self._connections))

    def _abandon_broken(self, *, but: _Connection) -> None:
        """Has every connection that lost bytes reset, without waiting for it."""
        for connection in self._connections - {but}:
            if connection.has_lost_bytes:
                connection.task.cancel()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset(list(self._connections))

    async def _reset(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.task.cancel()
        await asyncio.gather(*(each.task for each in connections), return_exceptions=True)

    async def _serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(task, self._new_reader())
        self._connections.add(connection)
        try:
            await self._moving.wait()
            # One that was accepted just before the refusal is refused like the others.
            if self._mode is not Mode.REFUSE:
                await self._relay(client_reader, client_writer, connection)
        except (OSError, asyncio.CancelledError):
            # The upstream is not there, or `_reset` ends this connection.
            pass
        finally:
            self._connections.discard(connection)
            _reset_by_peer(client_writer)

    async def _relay(
        self,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        connection: _Connection,
    ) -> None:
        host, _, port = self.upstream.rpartition(":")
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        for writer in (client_writer, server_writer):
            # A chunk has left us when `drain` returns, so that a cut is exact.
            writer.transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._forward(client_reader, server_writer, connection))
                directions.create_task(self._answer(server_reader, client_writer, connection))
        except* OSError:
            # One side is gone; the other learns it by the reset.
            pass
        finally:
            _reset_by_peer(server_writer)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._send(chunk, writer, connection, Direction.TO_SERVER)
        raise ConnectionResetError("the client closed the connection")

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._moving.wait()
            replies = connection.read_replies(chunk)
            if self._drops_next_reply and (replies.has_some or connection.has_lost_bytes):
                connection.has_lost_bytes = True
                if replies.ended_count:
                    self._drops_next_reply = False
                    self.dropped_reply_count += 1
                    self._abandon_broken(but=connection)
                    raise ConnectionResetError("the reply was dropped")
            elif self._mode is Mode.SWALLOW_REPLIES:
                connection.has_lost_bytes = True
            else:
                await self._send(chunk, writer, connection, Direction.FROM_SERVER)
        raise ConnectionResetError("the server closed the connection")

    async def _send(
        self,
        chunk: bytes,
        writer: asyncio.StreamWriter,
        connection: _Connection,
        direction: Direction,
    ) -> None:
        await self._moving.wait()
        if self._mode is Mode.DELAY:
            await asyncio.sleep(self._delay_seconds)
        allowed = self._allowed_bytes(len(chunk), connection, direction)
        writer.write(chunk[:allowed])
        await writer.drain()
        connection.carried_bytes[direction] += allowed
        if allowed < len(chunk) or self._is_cut_at(connection, direction):
            self._count_cut()
            raise ConnectionResetError("cut on demand")

    def _allowed_bytes(self, byte_count: int, connection: _Connection, direction: Direction) -> int:
        if self._cut is None or self._cut.direction is not direction:
            return byte_count
        return min(byte_count, max(0, self._cut.byte_count - connection.carried_bytes[direction]))

    def _is_cut_at(self, connection: _Connection, direction: Direction) -> bool:
        cut = self._cut
        return (
            cut is not None
            and cut.direction is direction
            and connection.carried_bytes[direction] >= cut.byte_count
        )

    def _count_cut(self) -> None:
        self.cut_count += 1
        if self._cut is not None and self._cut.times is not None:
            self._cut.times -= 1
            if self._cut.times == 0:
                self._cut = None


@dataclasses.dataclass(eq=False)
class _Connection:
    """One open connection: the task that serves it, and what it has carried."""

    task: asyncio.Task[None]
    read_replies: ReplyReader
    has_lost_bytes: bool = False
    carried_bytes: dict[Direction, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(Direction, 0)
    )


def _reset_by_peer(writer: asyncio.StreamWriter) -> None:
    """Ends a connection the hard way: whoever reads from it finds it reset."""
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
