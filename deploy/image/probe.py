"""The probe inside the image: `python -m deploy.image.probe loyalty|ratingslip ready|live`.

Asks the service in the same container for its health, over gRPC and, where the service
has a certificate, over TLS, which Kubernetes' own gRPC probe cannot do. It reads the
service's variables and imports as little as it can, since it starts every few seconds.

    ready   the service answers SERVING: it has its database, and is not being stopped
    live    the service listens and leaves no call unanswered, whatever it answers; a restart
            mends neither a database that is away nor a certificate that has expired

It must not know what the service does.
"""

from __future__ import annotations

import os
import pathlib
import socket
import sys
from collections.abc import Mapping

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICES = ("loyalty", "ratingslip")
CHECKS = ("ready", "live")
# Less than the orchestrator gives the probe, so that it is the probe that says what is wrong.
# An event loop that takes longer to answer one call is stuck.
TIMEOUT_SECONDS = 3.0
EXIT_FAILED = 1
EXIT_USAGE = 64
# A service that listens on every address is asked on this machine's own.
WILDCARD_HOSTS = ("0.0.0.0", "[::]", "*")  # noqa: S104


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Asks once; the exit code is 0, 1 with the reason on standard error, or 64."""
    if len(arguments) != 2 or arguments[0] not in SERVICES or arguments[1] not in CHECKS:
        sys.stderr.write("usage: python -m deploy.image.probe loyalty|ratingslip ready|live\n")
        return EXIT_USAGE
    service, check = arguments
    prefix = f"{service.upper()}_"
    address = environment.get(f"{prefix}LISTEN_ADDRESS", "")
    if not address:
        sys.stderr.write(f"{prefix}LISTEN_ADDRESS is not set\n")
        return EXIT_USAGE
    host, _, port = address.rpartition(":")
    target = f"localhost:{port}" if host in WILDCARD_HOSTS else address
    try:
        require_listener(target)
        with open_channel(target, prefix, environment) as channel:
            failure = trouble(channel, check)
    except OSError as error:
        failure = f"nothing listens on {target}: {error}"
    except ValueError as error:
        # The service may go on with the certificate that it has read before.
        failure = str(error) if check == "ready" else ""
    if failure:
        sys.stderr.write(f"{service} is not {check}: {failure}\n")
        return EXIT_FAILED
    return 0


def trouble(channel: grpc.Channel, check: str) -> str:
    """What speaks against the check; empty when nothing does."""
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        response = stub.Check(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS
        )
    except grpc.RpcError as error:
        is_stuck = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if check == "live" and not is_stuck:
            return ""
        return f"{error.code().name}: {error.details()}"
    if check == "live" or response.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


def require_listener(target: str) -> None:
    """Raises `OSError` when nothing listens there; gRPC would not tell that from bad TLS."""
    host, _, port = target.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_SECONDS):
        pass


def open_channel(target: str, prefix: str, environment: Mapping[str, str]) -> grpc.Channel:
    """A channel to the service's own port, as its variables say it is served.

    The server's certificate is trusted as it stands in the file: nothing else would be the
    service in this container. Under mutual TLS it is shown to the server, too, which
    its authority must then have signed for clients as well. Raises `ValueError` when the
    certificate cannot be read.
    """
    certificate_file = environment.get(f"{prefix}TLS_CERTIFICATE_FILE")
    if not certificate_file:
        return grpc.insecure_channel(target)
    certificate, private_key = _read(certificate_file), None
    if environment.get(f"{prefix}TLS_CLIENT_AUTHORITY_FILE"):
        private_key = _read(environment.get(f"{prefix}TLS_PRIVATE_KEY_FILE", ""))
    credentials = grpc.ssl_channel_credentials(
        certificate, private_key, certificate if private_key else None
    )
    name = ("grpc.ssl_target_name_override", server_name(certificate))
    return grpc.secure_channel(target, credentials, options=[name])


def _read(path: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def server_name(certificate: bytes) -> str:
    """The first DNS name of a PEM certificate; raises `ValueError` when it has none."""
    # Only needed with TLS, and it takes as long to import as a plain probe takes in all.
    from cryptography import x509

    try:
        names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound as error:
        raise ValueError("the certificate has no subject alternative name") from error
    for name in names.value.get_values_for_type(x509.DNSName):
        return name
    raise ValueError("the certificate has no DNS name")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
