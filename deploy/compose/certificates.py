"""A certificate authority of one deployment's own, for where there is no better one.

Owns names, lifetimes and uses of the certificates. It must not know the services.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Protocol, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "casino-loyalty deployment"
AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
# Renewed once a year, with a month to spare; the services run on meanwhile.
CERTIFICATE_LIFETIME = datetime.timedelta(days=397)
# A peer's clock may be behind.
CLOCK_ALLOWANCE = datetime.timedelta(minutes=5)
CLOSED_MODE = 0o600


class Files(Protocol):
    """Where the authority is kept."""

    def kept(self, name: str, text: str, mode: int = ...) -> str:
        """The text of a file, which is written when it is missing."""


@dataclasses.dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate_pem: str
    private_key_pem: str


class Authority:
    """Signs the certificates of the services; clients trust what it signed."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def load_or_create(cls, files: Files) -> Self:
        """The authority in the files, which is made when they are missing.

        Raises `ValueError` when they hold something else.
        """
        key_pem = files.kept("authority.key", _pem(_new_key()), CLOSED_MODE)
        key = load_pem_private_key(key_pem.encode(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("authority.key holds no elliptic curve key")
        pem = files.kept("authority.crt", _text(_self_signed(key)))
        certificate = x509.load_pem_x509_certificate(pem.encode())
        if certificate.public_key() != key.public_key():
            raise ValueError("authority.crt and authority.key do not belong together")
        return cls(key, certificate)

    @property
    def certificate_pem(self) -> str:
        """What clients are given to trust."""
        return _text(self._certificate)

    def issue(self, names: Sequence[str]) -> Issued:
        """A certificate by which a service is known under any of the DNS names.

        It is good for clients, too: the same file serves for mutual TLS.
        """
        key = _new_key()
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _unsigned(_named(names[0]), self._certificate.subject, key, CERTIFICATE_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(_text(certificate), _pem(key))


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return (
        _unsigned(_named(NAME), _named(NAME), key, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_ALLOWANCE)
        .not_valid_after(now + lifetime)
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
