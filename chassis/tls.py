"""TLS credentials from PEM files, for both sides, and whether the files were replaced.

Owns reading the files. It must not decide whether plain text is acceptable:
`config.py` does.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import cast

import grpc


class WatchedFiles:
    """Some files, and whether any of them was replaced since the last look."""

    def __init__(self, *paths: pathlib.Path | None) -> None:
        self._paths = [path for path in paths if path is not None]
        self._stamps = self._look()

    def have_changed(self) -> bool:
        """True once after each change. Raises `OSError` while a file is missing.

        Look before reading the files: what changes in between is then seen next time.
        """
        stamps = self._look()
        changed = stamps != self._stamps
        self._stamps = stamps
        return changed

    def _look(self) -> list[tuple[int, int]]:
        statuses = [path.stat() for path in self._paths]
        return [(status.st_mtime_ns, status.st_ino) for status in statuses]


def server_credentials(
    certificate_file: pathlib.Path,
    private_key_file: pathlib.Path,
    client_authority_file: pathlib.Path | None,
) -> grpc.ServerCredentials:
    """Server credentials that reread the files when they change.

    With a client authority every client must present a certificate signed by it.
    Raises `OSError` when a file cannot be read.
    """
    files = WatchedFiles(certificate_file, private_key_file, client_authority_file)

    def load() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(private_key_file.read_bytes(), certificate_file.read_bytes())],
            root_certificates=client_authority_file.read_bytes() if client_authority_file else None,
        )

    def reload() -> grpc.ServerCertificateConfiguration | None:
        # Called at each handshake; None keeps the certificates in use, also while
        # new files are half written.
        try:
            return load() if files.have_changed() else None
        except OSError:
            return None

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
