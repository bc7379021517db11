"""A TCP proxy that fails on demand: refuses, stalls, or loses what the server answers.

It knows connections and bytes, and nothing of what they mean. It runs in the event loop
of whoever makes it:

    async with TcpProxy("127.0.0.1:50051") as proxy:
        … talk to proxy.address …
        await proxy.switch(Mode.STALL)
"""

from __future__ import annotations

import asyncio
import enum
from typing import Self

from deploy.local.processes import LOOPBACK, free_port

CHUNK_BYTES = 64 * 1024


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


class TcpProxy:
    """One listening port in front of one upstream address."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        # Chosen once: whoever connects must find it again after a refusal.
        self._port = free_port()
        self._mode = Mode.PASS
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._moving = asyncio.Event()
        self._moving.set()

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

    async def switch(self, mode: Mode) -> None:
        """Changes what happens from now on."""
        left, self._mode = self._mode, mode
        if mode is Mode.REFUSE:
            await self._refuse()
        elif left is Mode.SWALLOW_REPLIES and mode is not left:
            await self._reset([each for each in self._connections if each.has_lost_bytes])
        if mode is Mode.STALL:
            self._moving.clear()
        else:
            self._moving.set()
        if mode is not Mode.REFUSE and self._server is None:
            await self._listen()

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
        connection = _Connection(task)
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
            client_writer.transport.abort()

    async def _relay(
        self,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        connection: _Connection,
    ) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._forward(client_reader, server_writer))
                directions.create_task(self._answer(server_reader, client_writer, connection))
        except* OSError:
            # One side is gone; the other learns it by the reset.
            pass
        finally:
            server_writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._moving.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the client closed the connection")

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._moving.wait()
            if self._mode is Mode.SWALLOW_REPLIES:
                connection.has_lost_bytes = True
                continue
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the server closed the connection")


class _Connection:
    """One open connection: the task that serves it, and whether its stream is whole."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.has_lost_bytes = False
