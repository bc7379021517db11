"""Health and reflection, which answer strangers: fit for whatever a stranger sends.

The libraries behind them leave two things to gRPC: bytes that are no request, and methods
they do not have. It would answer with the parser's words, and fill our log with stacks.
This file must not know what the methods do.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

Context = grpc.aio.ServicerContext[Any, Any]
Decoder = Callable[[bytes], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def guarded(handler: Handler) -> Handler | None:
    """The handler, refusing what is no request; None for a method that is not implemented."""
    behaviour = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    if not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)):
        # What the generated class has for a method is a plain function that raises.
        return None
    decode: Any = handler.request_deserializer
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(
            _of_one(handler.unary_unary, decode), None, handler.response_serializer
        )
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(
            _of_one(handler.unary_stream, decode), None, handler.response_serializer
        )
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            _of_many(handler.stream_stream, decode), None, handler.response_serializer
        )
    return handler


def _of_one(behaviour: Any, decode: Decoder) -> Any:
    async def decoded(body: bytes, context: Context) -> Any:
        return await behaviour(await _request(body, decode, context), context)

    return decoded


def _of_many(behaviour: Any, decode: Decoder) -> Any:
    async def decoded(bodies: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async def requests() -> AsyncIterator[Any]:
            async for body in bodies:
                yield await _request(body, decode, context)

        async for response in behaviour(requests(), context):
            yield response

    return decoded


async def _request(body: bytes, decode: Decoder, context: Context) -> Any:
    try:
        return decode(body)
    except DecodeError:
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, "the body is not a message of this method"
        )
