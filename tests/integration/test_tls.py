"""TLS between client and RatingSlip, mutual TLS between RatingSlip and Loyalty."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode, TcpProxy
from tests.databases import LOYALTY, RATINGSLIP, Service, TestDatabase
from tests.integration.casino import Casino, an_hour_of, complete, start
from tests.integration.certificates import Authority
from tests.integration.clients import Client
from tests.integration.explaining import explain
from tests.integration.identity import Identity
from tests.integration.patience import eventually
from tests.integration.recovery import RETRY_CAN_HELP, finish, refused_close
from tests.integration.services import Launcher, ServiceProcess


@dataclasses.dataclass(frozen=True)
class SecurePair:
    """A Loyalty that wants certificates, and a RatingSlip that has one."""

    authority: Authority
    authority_file: str
    # Where RatingSlip's certificate and key are, which it uses on both sides.
    ratingslip_directory: Path
    ratingslip: ServiceProcess
    loyalty: ServiceProcess


@pytest.fixture(scope="module")
async def secure_launcher(
    identity: Identity,
    pair_databases: Mapping[Service, TestDatabase],
    trace_endpoint: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("logs"), identity, pair_databases, trace_endpoint)
    try:
        yield launcher
    finally:
        await launcher.stop_all()


@pytest.fixture(scope="module")
async def secure_pair(
    secure_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory
) -> SecurePair:
    authority = Authority("the casino's authority")
    directory = tmp_path_factory.mktemp("certificates")
    authority_file = directory / "authority.pem"
    authority_file.write_bytes(authority.pem)
    loyaltys, ratingslips = directory / "loyalty", directory / "ratingslip"
    loyaltys.mkdir()
    ratingslips.mkdir()
    client = authority.issue("a test")

    certificate, key = authority.issue("loyalty").write(loyaltys)
    loyalty = await secure_launcher.start(
        LOYALTY,
        LOYALTY_TLS_CERTIFICATE_FILE=certificate,
        LOYALTY_TLS_PRIVATE_KEY_FILE=key,
        LOYALTY_TLS_CLIENT_AUTHORITY_FILE=str(authority_file),
    )
    loyalty.credentials = grpc.ssl_channel_credentials(
        authority.pem, client.key_pem, client.certificate_pem
    )
    await loyalty.serving()
    certificate, key = authority.issue("ratingslip").write(ratingslips)
    ratingslip = await secure_launcher.start(
        RATINGSLIP,
        # With TLS, and only with TLS, it may listen on every address.
        RATINGSLIP_LISTEN_ADDRESS="0.0.0.0:0",
        RATINGSLIP_TLS_CERTIFICATE_FILE=certificate,
        RATINGSLIP_TLS_PRIVATE_KEY_FILE=key,
        RATINGSLIP_LOYALTY_ADDRESS=loyalty.address,
        RATINGSLIP_LOYALTY_AUTHORITY_FILE=str(authority_file),
        RATINGSLIP_LOYALTY_CERTIFICATE_FILE=certificate,
        RATINGSLIP_LOYALTY_PRIVATE_KEY_FILE=key,
    )
    ratingslip.credentials = grpc.ssl_channel_credentials(authority.pem)
    await ratingslip.serving()
    return SecurePair(authority, str(authority_file), ratingslips, ratingslip, loyalty)


@pytest.fixture
def boss(casino: Casino, secure_pair: SecurePair) -> Client:
    return casino.for_role("pit_boss", ratingslip=secure_pair.ratingslip)


async def test_a_close_goes_over_tls_all_the_way(boss: Client) -> None:
    closed = await complete(boss, await start(boss))

    assert closed.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED


async def test_explain_goes_over_mutual_tls_too(
    boss: Client, casino: Casino, secure_pair: SecurePair, tmp_path: Path
) -> None:
    closed = await complete(boss, await start(boss))
    token_file = tmp_path / "cashier.jwt"
    token_file.write_text(casino.token("cashier"))
    certificate, key = secure_pair.authority.issue("an operator").write(tmp_path)
    way = [
        *("--ratingslip", secure_pair.ratingslip.address, "--loyalty", secure_pair.loyalty.address),
        *("--token-file", str(token_file), "--authority-file", secure_pair.authority_file),
    ]

    code, output, errors = await explain(
        *(closed.rating_slip.rating_slip_id, *way),
        *("--certificate-file", certificate, "--private-key-file", key),
    )
    _, without_certificate, _ = await explain(closed.rating_slip.rating_slip_id, *way)

    assert (code, errors) == (0, "")
    assert "PAID: " in output
    assert f"-cacert {secure_pair.authority_file} -cert {certificate} -key {key}" in output
    # RatingSlip still answers; Loyalty hangs up on who has none.
    assert "not asked: Loyalty, UNAVAILABLE" in without_certificate


async def code_over(
    casino: Casino, address: str, credentials: grpc.ChannelCredentials | None
) -> StatusCode:
    """How a call to Loyalty with an admin's good token ends on such a channel."""
    channel = (
        grpc.aio.insecure_channel(address)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials)
    )
    async with channel:
        client = Client(channel, channel, casino.token("admin"))
        request = loyalty_pb2.ListLedgerEntriesRequest()
        return await client.send(client.points.ListLedgerEntries, request).code()


async def test_loyalty_talks_to_holders_of_a_certificate_only(
    casino: Casino, secure_pair: SecurePair
) -> None:
    address, authority = secure_pair.loyalty.address, secure_pair.authority
    ours, foreign = authority.issue("ours"), Authority("another").issue("foreign")
    ways = {
        "plain text": None,
        "no certificate": grpc.ssl_channel_credentials(authority.pem),
        "a certificate of another authority": grpc.ssl_channel_credentials(
            authority.pem, foreign.key_pem, foreign.certificate_pem
        ),
        "a certificate of the authority": grpc.ssl_channel_credentials(
            authority.pem, ours.key_pem, ours.certificate_pem
        ),
    }

    codes = {
        way: await code_over(casino, address, credentials) for way, credentials in ways.items()
    }

    assert codes == {
        "plain text": StatusCode.UNAVAILABLE,
        "no certificate": StatusCode.UNAVAILABLE,
        "a certificate of another authority": StatusCode.UNAVAILABLE,
        "a certificate of the authority": StatusCode.OK,
    }


async def test_a_ratingslip_talks_to_the_loyalty_it_trusts_only(
    casino: Casino, secure_pair: SecurePair, launcher: Launcher, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(Authority("another").pem)
    for changes in (
        # It knows Loyalty, but has no certificate to show.
        {"RATINGSLIP_LOYALTY_AUTHORITY_FILE": secure_pair.authority_file},
        # It has one, and takes Loyalty for a stranger.
        {
            "RATINGSLIP_LOYALTY_AUTHORITY_FILE": str(foreign),
            "RATINGSLIP_LOYALTY_CERTIFICATE_FILE": str(
                secure_pair.ratingslip_directory / "certificate.pem"
            ),
            "RATINGSLIP_LOYALTY_PRIVATE_KEY_FILE": str(
                secure_pair.ratingslip_directory / "key.pem"
            ),
        },
    ):
        ratingslip = await launcher.ratingslip(secure_pair.loyalty.address, **changes)
        boss = casino.for_role("pit_boss", ratingslip=ratingslip)

        refusal = await refused_close(boss, await start(boss))

        assert refusal.kind == RETRY_CAN_HELP
        assert refusal.metadata["loyaltyReason"] == "UNAVAILABLE"


async def test_a_rotated_certificate_is_shown_at_new_handshakes_and_breaks_no_old_ones(
    boss: Client, secure_pair: SecurePair
) -> None:
    slip = await start(boss)
    before = await shown_certificate(secure_pair)
    renewed = secure_pair.authority.issue("ratingslip, renewed")

    renewed.write(secure_pair.ratingslip_directory)

    async def shown() -> bool:
        try:
            return (await shown_certificate(secure_pair)) == renewed.certificate
        except (ssl.SSLError, ConnectionError):
            # One of the two files is replaced before the other.
            return False

    await eventually(shown, "the renewed certificate is shown")
    assert before != renewed.certificate
    assert (await complete(boss, slip)).loyalty.points_delta > 0


async def test_a_rotated_certificate_is_shown_to_loyalty_too(
    casino: Casino, secure_pair: SecurePair, launcher: Launcher, tmp_path: Path
) -> None:
    old, new = Authority("of yesterday"), Authority("of today")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(old.pem)
    certificate, key = secure_pair.authority.issue("loyalty").write(tmp_path)
    loyalty = await launcher.start(
        LOYALTY,
        LOYALTY_TLS_CERTIFICATE_FILE=certificate,
        LOYALTY_TLS_PRIVATE_KEY_FILE=key,
        LOYALTY_TLS_CLIENT_AUTHORITY_FILE=str(trusted),
    )
    clients = tmp_path / "ratingslip"
    clients.mkdir()
    certificate, key = old.issue("ratingslip").write(clients)
    async with TcpProxy((await loyalty.listening()).address) as proxy:
        ratingslip = await launcher.ratingslip(
            proxy.address,
            RATINGSLIP_LOYALTY_AUTHORITY_FILE=secure_pair.authority_file,
            RATINGSLIP_LOYALTY_CERTIFICATE_FILE=certificate,
            RATINGSLIP_LOYALTY_PRIVATE_KEY_FILE=key,
        )
        boss = casino.for_role("pit_boss", ratingslip=ratingslip)
        await complete(boss, await start(boss))

        trusted.write_bytes(new.pem)
        new.issue("ratingslip").write(clients)
        # The connection breaks, as it does sooner or later.
        await proxy.switch(Mode.REFUSE)
        await proxy.switch(Mode.PASS)

        slip = await start(boss)
        await finish(boss, boss.slips.CompleteRatingSlip, an_hour_of(slip))


async def shown_certificate(secure_pair: SecurePair) -> x509.Certificate:
    """What RatingSlip shows to a client that connects now."""
    context = ssl.create_default_context(cadata=secure_pair.authority.pem.decode())
    context.set_alpn_protocols(["h2"])
    host, _, port = secure_pair.ratingslip.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return x509.load_der_x509_certificate(shown)
