"""Whose keys a service trusts: the kinds it takes, and key sets that change while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from grpc import StatusCode
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import Casino, new_id
from tests.integration.clients import read_refusal
from tests.integration.identity import RATINGSLIP_AUDIENCE, STAFF_ISSUER
from tests.integration.patience import eventually
from tests.integration.services import Launcher, Pair, ServiceProcess

TOKEN_LIFETIME_SECONDS = 3600
RSA_KEY_BITS = 2048
FIRST_CALLS = 10
# A key file is looked at once a second, and nothing tells when a bad one was.
REREAD_SECONDS = 1.1


class Issuer:
    """A key of an identity provider, named by its ID, and the tokens it signs."""

    def __init__(self, key_id: str, algorithm: str) -> None:
        self._key_id = key_id
        self._algorithm = algorithm
        self._private_key: Any
        match algorithm:
            case "RS256":
                self._private_key = rsa.generate_private_key(65537, RSA_KEY_BITS)
                jwk = RSAAlgorithm.to_jwk(self._private_key.public_key(), as_dict=True)
            case "ES256":
                self._private_key = ec.generate_private_key(ec.SECP256R1())
                jwk = ECAlgorithm.to_jwk(self._private_key.public_key(), as_dict=True)
            case _:
                self._private_key = ed25519.Ed25519PrivateKey.generate()
                jwk = OKPAlgorithm.to_jwk(self._private_key.public_key(), as_dict=True)
        self.jwk = {**jwk, "kid": key_id}

    def token(self, casino: Casino) -> str:
        """A token nobody has seen yet."""
        claims = {
            "iss": STAFF_ISSUER,
            "aud": RATINGSLIP_AUDIENCE,
            "exp": int(time.time()) + TOKEN_LIFETIME_SECONDS,
            "sub": new_id(),
            "casino_id": casino.id,
            "role": "admin",
        }
        return jwt.encode(claims, self._private_key, self._algorithm, headers={"kid": self._key_id})


class KeyServer(http.server.ThreadingHTTPServer):
    """An identity provider that publishes its keys over HTTP, when it is allowed to."""

    def __init__(self, document: bytes) -> None:
        super().__init__(("127.0.0.1", 0), KeyHandler)
        self.document = document
        self.was_asked = threading.Event()
        self.may_answer = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/keys"


class KeyHandler(http.server.BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.was_asked.set()
        self.server.may_answer.wait()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.document)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def key_set(*issuers: Issuer, more: tuple[dict[str, Any], ...] = ()) -> str:
    return json.dumps({"keys": [*(issuer.jwk for issuer in issuers), *more]})


@contextlib.contextmanager
def running_key_server(document: str) -> Iterator[KeyServer]:
    with KeyServer(document.encode()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()
            thread.join()


async def is_let_in(casino: Casino, ratingslip: ServiceProcess, token: str) -> bool:
    client = casino.with_token(token, ratingslip=ratingslip)
    try:
        await client.call(client.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest())
    except grpc.aio.AioRpcError as error:
        assert read_refusal(error).kind == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
        return False
    return True


async def test_keys_of_every_kind_are_taken_and_useless_ones_beside_them_do_no_harm(
    casino: Casino, pair: Pair, launcher: Launcher, tmp_path: Path
) -> None:
    issuers = [Issuer(f"by-{algorithm}", algorithm) for algorithm in ("RS256", "ES256", "EdDSA")]
    nameless = Issuer("nameless", "EdDSA")
    del nameless.jwk["kid"]
    encrypting = Issuer("encrypting", "RS256")
    encrypting.jwk["use"] = "enc"
    p384 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
    secret = {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}
    file = tmp_path / "keys.json"
    file.write_text(
        key_set(*issuers, nameless, encrypting, more=(secret, {**p384, "kid": "by-ES384"}))
    )
    ratingslip = await launcher.ratingslip(pair.loyalty.address, RATINGSLIP_JWKS=str(file))

    for issuer in issuers:
        assert await is_let_in(casino, ratingslip, issuer.token(casino))
    for issuer in (nameless, encrypting):
        assert not await is_let_in(casino, ratingslip, issuer.token(casino))


async def test_a_key_file_is_reread_when_keys_come_and_go(
    casino: Casino, pair: Pair, launcher: Launcher, tmp_path: Path
) -> None:
    old, new = Issuer("old", "EdDSA"), Issuer("new", "EdDSA")
    file = tmp_path / "keys.json"
    file.write_text(key_set(old))
    ratingslip = await launcher.ratingslip(pair.loyalty.address, RATINGSLIP_JWKS=str(file))

    async def new_is_let_in() -> bool:
        return await is_let_in(casino, ratingslip, new.token(casino))

    async def old_is_refused() -> bool:
        return not await is_let_in(casino, ratingslip, old.token(casino))

    assert not await new_is_let_in()
    # While it is half written, or holds nonsense, the keys that are known go on.
    for broken in (key_set(old, new)[:-20], '{"keys": [7]}'):
        file.write_text(broken)
        await asyncio.sleep(REREAD_SECONDS)
        assert not await old_is_refused()
    file.write_text(key_set(old, new))
    await eventually(new_is_let_in, "the new key is known")
    assert not await old_is_refused()
    file.write_text(key_set(new))
    await eventually(old_is_refused, "the withdrawn key is of no use")
    assert await new_is_let_in()


async def test_keys_come_from_a_url_for_all_the_first_calls_at_once(
    casino: Casino, pair: Pair, launcher: Launcher
) -> None:
    issuer = Issuer("published", "ES256")
    with running_key_server(key_set(issuer)) as server:
        ratingslip = await launcher.ratingslip(pair.loyalty.address, RATINGSLIP_JWKS=server.url)
        calls = [
            asyncio.create_task(is_let_in(casino, ratingslip, issuer.token(casino)))
            for _ in range(FIRST_CALLS)
        ]
        # While the provider takes its time, nobody is turned away.
        await asyncio.to_thread(server.was_asked.wait)
        server.may_answer.set()

        assert await asyncio.gather(*calls) == [True] * FIRST_CALLS
