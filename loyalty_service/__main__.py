"""The Loyalty service's composition root: `python -m loyalty_service [migrate]`."""

from __future__ import annotations

import os
import pathlib

from casino.loyalty.v1 import loyalty_pb2, loyalty_pb2_grpc
from chassis import auth, logs, process, process_metrics, telemetry
from chassis.database import Database
from chassis.interceptors.server import ServerInterceptor
from chassis.jwks import key_source
from chassis.migrate import Schema
from chassis.paging import PageTokens
from chassis.server import ServiceServer
from loyalty_service import access, errors
from loyalty_service.config import LoyaltySettings
from loyalty_service.drift import BalanceDriftCheck
from loyalty_service.drift_schedule import DriftSchedule
from loyalty_service.entry_counts import EntryCounts
from loyalty_service.entry_list import EntryList
from loyalty_service.ledger import Ledger
from loyalty_service.rate_limit import reward_limiter
from loyalty_service.servicer import LoyaltyServicer
from loyalty_service.verification import LedgerVerification

SQL_DIRECTORY = pathlib.Path(__file__).parent / "sql"


async def serve() -> None:
    """Wires the service and serves until it is told to stop."""
    settings = LoyaltySettings.from_environment(os.environ)
    logs.set_up(settings.log_level)
    tracing = telemetry.tracer_provider("loyalty", os.environ)
    tracer = tracing.get_tracer("loyalty_service")
    metering = telemetry.meter_provider("loyalty", os.environ)
    meter = metering.get_meter("loyalty_service")
    staff = auth.TrustedIssuer(settings.token_issuer, key_source(settings.jwks), auth.STAFF_ROLES)
    services = auth.TrustedIssuer(
        settings.service_token_issuer, key_source(settings.service_jwks), auth.SERVICE_ROLES
    )
    database = Database(
        settings.database_url,
        schema="loyalty",
        pool_size=settings.database_pool_size,
        tracer=tracer,
        meter=meter,
        error_mapping=errors.from_postgres,
    )
    interceptor = ServerInterceptor(
        verifier=auth.TokenVerifier([staff, services], settings.token_audience),
        permissions=access.PERMISSIONS,
        error_domain=errors.DOMAIN,
        default_deadline_seconds=settings.default_deadline_ms / 1000,
        tracer=tracer,
        meter=meter,
    )
    ledger = Ledger(database)
    page_tokens = PageTokens(settings.page_token_key)
    verification = LedgerVerification(ledger, page_tokens, meter)
    drift_check = BalanceDriftCheck(ledger, meter)
    drift_schedule = DriftSchedule(
        ledger, drift_check, verification, tracer, poll_seconds=settings.drift_poll_seconds
    )
    servicer = LoyaltyServicer(
        ledger,
        EntryList(ledger, page_tokens),
        reward_limiter(settings.rate_limit_redis_url),
        verification,
        drift_check,
        drift_schedule,
        EntryCounts(meter),
    )
    server = ServiceServer(
        settings,
        descriptor=loyalty_pb2.DESCRIPTOR.services_by_name["LoyaltyService"],
        interceptor=interceptor,
        database=database,
        schema=Schema("loyalty", SQL_DIRECTORY),
        meter=meter,
    )
    loyalty_pb2_grpc.add_LoyaltyServiceServicer_to_server(servicer, server.grpc_server)
    try:
        await database.open()
        async with (
            process.in_background(process_metrics.follow_process(meter)),
            process.in_background(drift_schedule.run()),
        ):
            await server.run()
    finally:
        await database.close()
        await telemetry.shut_down(tracing, metering)


if __name__ == "__main__":
    process.main(serve, "loyalty", SQL_DIRECTORY, LoyaltySettings.environment_prefix)
