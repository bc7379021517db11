"""The RatingSlip service's composition root: `python -m ratingslip_service [migrate]`."""

from __future__ import annotations

import asyncio
import os
import pathlib

import grpc
from opentelemetry import metrics, trace

from casino.ratingslip.v1 import ratingslip_pb2, ratingslip_pb2_grpc
from chassis import auth, client, logs, process, process_metrics, telemetry, tls
from chassis.database import Database
from chassis.interceptors.server import ServerInterceptor
from chassis.jwks import key_source
from chassis.migrate import Schema
from chassis.paging import PageTokens
from chassis.server import ServiceServer
from ratingslip_service import access, errors
from ratingslip_service.backlog import SlipBacklog
from ratingslip_service.close import SlipCloser
from ratingslip_service.config import RatingSlipSettings
from ratingslip_service.event_list import EventList
from ratingslip_service.loyalty import IDEMPOTENT_METHODS, LoyaltyClient
from ratingslip_service.preview import SlipPreviewer
from ratingslip_service.recovery import SlipRecoverer
from ratingslip_service.service_token import ServiceTokens, SigningKey
from ratingslip_service.servicer import RatingSlipServicer
from ratingslip_service.slip_list import SlipList
from ratingslip_service.slips import Slips

SQL_DIRECTORY = pathlib.Path(__file__).parent / "sql"


async def serve() -> None:
    """Wires the service and serves until it is told to stop."""
    settings = RatingSlipSettings.from_environment(os.environ)
    logs.set_up(settings.log_level)
    tracing = telemetry.tracer_provider("ratingslip", os.environ)
    tracer = tracing.get_tracer("ratingslip_service")
    metering = telemetry.meter_provider("ratingslip", os.environ)
    meter = metering.get_meter("ratingslip_service")
    staff = auth.TrustedIssuer(settings.token_issuer, key_source(settings.jwks), auth.STAFF_ROLES)
    database = Database(
        settings.database_url,
        schema="ratingslip",
        pool_size=settings.database_pool_size,
        tracer=tracer,
        meter=meter,
        error_mapping=errors.from_postgres,
    )
    interceptor = ServerInterceptor(
        verifier=auth.TokenVerifier([staff], settings.token_audience),
        permissions=access.PERMISSIONS,
        error_domain=errors.DOMAIN,
        default_deadline_seconds=settings.default_deadline_ms / 1000,
        tracer=tracer,
        meter=meter,
    )
    slips = Slips(database)
    channel = loyalty_channel(settings, tracer, meter)
    key = SigningKey.from_file(settings.service_token_key_file, settings.service_token_key_id)
    tokens = ServiceTokens(
        key, issuer=settings.service_token_issuer, audience=settings.loyalty_token_audience
    )
    loyalty = LoyaltyClient(channel, tokens)
    closer = SlipCloser(slips, loyalty, tracer, meter)
    recoverer = SlipRecoverer(
        slips, closer, loyalty, tracer, meter, poll_seconds=settings.recovery_poll_seconds
    )
    page_tokens = PageTokens(settings.page_token_key)
    servicer = RatingSlipServicer(
        slips,
        closer,
        SlipPreviewer(slips, loyalty, tracer),
        SlipList(slips, page_tokens),
        EventList(slips, page_tokens),
    )
    server = ServiceServer(
        settings,
        descriptor=ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"],
        interceptor=interceptor,
        database=database,
        schema=Schema("ratingslip", SQL_DIRECTORY),
        meter=meter,
    )
    ratingslip_pb2_grpc.add_RatingSlipServiceServicer_to_server(servicer, server.grpc_server)
    try:
        await database.open()
        async with (
            process.in_background(process_metrics.follow_process(meter)),
            process.in_background(work(server, recoverer, SlipBacklog(slips, meter))),
        ):
            await server.run()
        await closer.drain()
    finally:
        await channel.close()
        await database.close()
        await telemetry.shut_down(tracing, metering)


async def work(server: ServiceServer, recoverer: SlipRecoverer, backlog: SlipBacklog) -> None:
    """Recovers slips and counts them, once there is a database to do it on."""
    await server.until_serving()
    await asyncio.gather(recoverer.run(), backlog.run())


def loyalty_channel(
    settings: RatingSlipSettings, tracer: trace.Tracer, meter: metrics.Meter
) -> client.RenewedChannel:
    """The channel to Loyalty: TLS when an authority is configured, else plain text."""
    authority = settings.loyalty_authority_file
    certificate, key = settings.loyalty_certificate_file, settings.loyalty_private_key_file

    def opened() -> grpc.aio.Channel:
        return client.open_channel(
            settings.loyalty_address,
            credentials=tls.channel_credentials(authority, certificate, key) if authority else None,
            idempotent_methods=IDEMPOTENT_METHODS,
            tracer=tracer,
            meter=meter,
        )

    return client.RenewedChannel(opened, tls.WatchedFiles(authority, certificate, key))


if __name__ == "__main__":
    process.main(serve, "ratingslip", SQL_DIRECTORY, RatingSlipSettings.environment_prefix)
