"""Where public keys come from: a JWKS file or URL, reread without stopping the loop.

Owns loading, refreshing and finding a key by its ID. It must not know what a
token claims.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
import urllib.request
from typing import Protocol

import jwt

# A file is looked at again no more often than this; a stat is cheap, a flood is not.
FILE_CHECK_INTERVAL_SECONDS = 1.0
# Keys from a URL are fetched anew this often, so that a withdrawn key goes away.
URL_REFRESH_INTERVAL_SECONDS = 300.0
# An unknown key ID asks for a fetch at once, but a caller who invents key IDs must
# not turn the service into a load on the identity provider.
URL_UNKNOWN_KEY_INTERVAL_SECONDS = 5.0
URL_TIMEOUT_SECONDS = 5.0
# Many times the size of a real key set.
URL_RESPONSE_LIMIT_BYTES = 1_000_000

# What may sign a token: asymmetric algorithms only, so that a public key can never
# be taken for a shared secret.
ALGORITHM_BY_KEY_TYPE = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class KeySource(Protocol):
    """Finds public keys by key ID."""

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, or None when it is unknown."""


class JwksFile:
    """A JWKS file, reread when it changes. The old keys stay while a new file is bad."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._keys = parse_jwks(path.read_bytes(), str(path))
        self._checked = time.monotonic()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, or None when the file does not hold it."""
        if time.monotonic() - self._checked >= FILE_CHECK_INTERVAL_SECONDS:
            self._checked = time.monotonic()
            self._reread()
        return self._keys.get(key_id)

    def _reread(self) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._keys = parse_jwks(self._path.read_bytes(), str(self._path))
                self._stamp = stamp
        except (OSError, ValueError):
            # A file that is half written is read again at the next check.
            return


class JwksUrl:
    """A JWKS behind a URL, fetched in a thread and refreshed off the call's way."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched: float | None = None
        self._refresh: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, or None when the provider does not know it or cannot be reached."""
        age = float("inf") if self._fetched is None else time.monotonic() - self._fetched
        interval = (
            URL_REFRESH_INTERVAL_SECONDS
            if key_id in self._keys
            else URL_UNKNOWN_KEY_INTERVAL_SECONDS
        )
        if age >= interval and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._fetch())
        if key_id not in self._keys and self._refresh is not None:
            # Everyone who misses a key waits for the fetch under way; none is cut short
            # when one of them goes away.
            await asyncio.shield(self._refresh)
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        self._fetched = time.monotonic()
        try:
            self._keys = parse_jwks(await asyncio.to_thread(_download, self._url), self._url)
        except (OSError, ValueError):
            # The old keys go on; the next unknown key or interval tries again.
            return


def key_source(location: str) -> KeySource:
    """The source for a file's path or an http(s) URL.

    Raises `OSError` or `ValueError` when a file cannot be read as a key set.
    """
    if location.startswith(("https://", "http://")):
        return JwksUrl(location)
    return JwksFile(pathlib.Path(location))


def parse_jwks(document: bytes, name: str) -> dict[str, jwt.PyJWK]:
    """The usable keys of a JWKS by key ID; raises `ValueError`, which gives its `name`.

    Keys without an ID, of another type, or meant for encryption are left out.
    """
    try:
        entries = [entry for entry in json.loads(document)["keys"] if _is_usable(entry)]
        keys = {
            entry["kid"]: jwt.PyJWK(entry, ALGORITHM_BY_KEY_TYPE[entry["kty"]]) for entry in entries
        }
    except (ValueError, LookupError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError(f"{name} is not a JSON Web Key Set: {error}") from error
    return keys


def _is_usable(entry: dict[str, str]) -> bool:
    return (
        bool(entry.get("kid"))
        and entry.get("kty") in ALGORITHM_BY_KEY_TYPE
        and entry.get("use", "sig") == "sig"
    )


def _stamp(path: pathlib.Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


def _download(url: str) -> bytes:
    # The scheme was checked where the source was chosen.
    with urllib.request.urlopen(url, timeout=URL_TIMEOUT_SECONDS) as response:  # noqa: S310
        body: bytes = response.read(URL_RESPONSE_LIMIT_BYTES)
    return body
