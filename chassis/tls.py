"""TLS credentials from PEM files, for both sides; rotated certificates are picked up.

Owns reading the files. It must not decide whether plain text is acceptable:
`config.py` does.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import cast

import grpc


def server_credentials(
    certificate_file: pathlib.Path,
    private_key_file: pathlib.Path,
    client_authority_file: pathlib.Path | None,
) -> grpc.ServerCredentials:
    """Server credentials that reread the files when they change.

    With a client authority every client must present a certificate signed by it.
    Raises `OSError` when a file cannot be read.
    """
    files = (certificate_file, private_key_file, client_authority_file)
    known = [_stamps(files)]

    def load() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(private_key_file.read_bytes(), certificate_file.read_bytes())],
            root_certificates=client_authority_file.read_bytes() if client_authority_file else None,
        )

    def reload() -> grpc.ServerCertificateConfiguration | None:
        # Called at each handshake; None keeps the certificates in use, also while
        # new files are half written.
        try:
            stamps = _stamps(files)
            if stamps == known[0]:
                return None
            fresh = load()
        except OSError:
            return None
        known[0] = stamps
        return fresh

    return grpc.dynamic_ssl_server_credentials(
        load(),
        # The stubs leave out that None means "no change".
        cast("Callable[[], grpc.ServerCertificateConfiguration]", reload),
        require_client_authentication=client_authority_file is not None,
    )


def channel_credentials(
    authority_file: pathlib.Path,
    certificate_file: pathlib.Path | None,
    private_key_file: pathlib.Path | None,
) -> grpc.ChannelCredentials:
    """Client credentials; with certificate and key for mutual TLS.

    Raises `OSError` when a file cannot be read.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=authority_file.read_bytes(),
        private_key=private_key_file.read_bytes() if private_key_file else None,
        certificate_chain=certificate_file.read_bytes() if certificate_file else None,
    )


def _stamps(files: tuple[pathlib.Path | None, ...]) -> tuple[tuple[int, int], ...]:
    statuses = [file.stat() for file in files if file is not None]
    return tuple((status.st_mtime_ns, status.st_ino) for status in statuses)
