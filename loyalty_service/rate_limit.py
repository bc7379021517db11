"""How often one staff member may issue manual rewards in one casino.

A sliding window, kept in this process, or in Redis for all replicas when a URL is
given. A limiter that cannot be asked lets nobody through.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from loyalty_service import errors

_logger = logging.getLogger(__name__)

# More than anybody types, few enough to notice a script that runs wild.
REWARDS_A_MINUTE = 10
# Redis answers in a millisecond; a call must not wait longer for a server that is lost.
REDIS_TIMEOUT_SECONDS = 0.5
# A connection the server has closed in the meantime is opened once more.
REDIS_RETRIES = 1
# The window may move between the two questions; a caller is never told to come at once.
LEAST_RETRY_SECONDS = 0.1

_LIMIT = RateLimitItemPerMinute(REWARDS_A_MINUTE)


class RewardLimiter:
    """Counts calls; every call counts but those it refuses."""

    def __init__(self, storage: Storage, limit: RateLimitItem = _LIMIT) -> None:
        self._limiter = MovingWindowRateLimiter(storage)
        self._limit = limit

    async def count(self, casino_id: uuid.UUID, staff_id: uuid.UUID) -> None:
        """Counts a call; raises RATE_LIMIT_EXCEEDED, RATE_LIMITER_UNAVAILABLE."""
        who = ("manual_reward", str(casino_id), str(staff_id))
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                if await self._limiter.hit(self._limit, *who):
                    return
                window = await self._limiter.get_window_stats(self._limit, *who)
        except (StorageError, TimeoutError) as error:
            _logger.warning("rate_limiter_unavailable", exc_info=error)
            raise errors.rate_limiter_unavailable() from error
        wait_seconds = max(window.reset_time - time.time(), LEAST_RETRY_SECONDS)
        raise errors.rate_limit_exceeded(str(self._limit), math.ceil(wait_seconds))


def reward_limiter(redis_url: str | None) -> RewardLimiter:
    """A limiter in Redis, or in this process when there is no URL; connects to nothing yet."""
    if redis_url is None:
        return RewardLimiter(MemoryStorage())
    # They go to the client library as they are, which takes more than numbers and words.
    client_options: dict[str, Any] = {
        "socket_timeout": REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), REDIS_RETRIES),
    }
    return RewardLimiter(
        RedisStorage(
            f"async+{redis_url}",
            wrap_exceptions=True,
            implementation="redispy",
            **client_options,
        )
    )
