"""Makes keys, passwords and certificates: `python -m deploy.compose.make_secrets --help`.

Owns what every file holds and who may read it. What is there is kept, so it can be run again:
delete a file to have a new one made. It knows what the services want to be told, and
nothing of how they use it; docs/deployment.md says which file goes where.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.compose.certificates import Authority
from deploy.local.identity import STAFF_ISSUER, SigningKey, StaffTokens, write_demo_tokens

HERE = Path(__file__).parent
SERVICES = ("loyalty", "ratingslip")
# 192 bits for a password, 256 for what signs page tokens.
PASSWORD_BYTES = 24
PAGE_TOKEN_KEY_BYTES = 32
# The files are mounted for a user of the container's, which owns none of them; the directory
# around them is closed to everyone else on this machine.
CLOSED_DIRECTORY_MODE = 0o700
READABLE_MODE = 0o644
READABLE_DIRECTORY_MODE = 0o755
CLOSED_MODE = 0o600
DEFAULT_DATABASE_SERVER = "postgres:5432"


class Secrets:
    """The files of one deployment, below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=CLOSED_DIRECTORY_MODE, parents=True, exist_ok=True)
        directory.chmod(CLOSED_DIRECTORY_MODE)

    def kept(self, name: str, text: str, mode: int = READABLE_MODE) -> str:
        """The text of a file, which is written when it is missing."""
        path = self.directory / name
        if not path.exists():
            self.written(name, text, mode)
        return path.read_text(encoding="utf-8")

    def written(self, name: str, text: str, mode: int = READABLE_MODE) -> None:
        """Writes or replaces a file of the deployment."""
        path = self.directory / name
        if path.parent != self.directory:
            self.subdirectory(path.parent.name)
        write_whole(path, text, mode)

    def subdirectory(self, name: str) -> Path:
        """A directory that is mounted, whatever this process's umask is."""
        path = self.directory / name
        path.mkdir(exist_ok=True)
        path.chmod(READABLE_DIRECTORY_MODE)
        return path

    def password(self, name: str) -> str:
        """A password, which is made when it is missing."""
        return self.kept(f"passwords/{name}.password", secrets.token_urlsafe(PASSWORD_BYTES))


def write_whole(path: Path, text: str, mode: int) -> None:
    """Writes or replaces a file; one that is mounted is never seen half written."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=CLOSED_MODE)
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(mode)
    fresh.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Makes what is missing below the directory, and says what to do with it."""
    options = _parse(arguments)
    made = Secrets(options.directory)
    made.password("postgres")
    made.password("grafana_admin")
    write_certificates(made, options.name)
    key = write_service_key(made)
    write_environment(made, key, options.database_server, options.database_options)
    issuer, jwks = options.issuer, options.jwks
    if options.demo_identity:
        issuer, jwks = STAFF_ISSUER, "/run/casino/staff.jwks.json"
        write_demo_identity(made)
    # Compose itself reads these two, from beside its file.
    settings = f"TOKEN_ISSUER={issuer}\nSTAFF_JWKS={jwks}\n"
    write_whole(options.directory.parent / ".env", settings, CLOSED_MODE)
    sys.stdout.write(f"{made.directory} holds every key and password; keep a copy of it.\n")
    return 0


def write_certificates(made: Secrets, further_names: Sequence[str]) -> None:
    """An authority of the deployment's own, and a certificate of each service."""
    authority = Authority.load_or_create(made)
    for service in SERVICES:
        certificate, private_key = f"{service}/tls.crt", f"{service}/tls.key"
        if not (made.directory / certificate).exists():
            issued = authority.issue([service, "localhost", *further_names])
            made.written(private_key, issued.private_key_pem)
            made.written(certificate, issued.certificate_pem)
        made.written(f"{service}/ca.crt", authority.certificate_pem)


def write_service_key(made: Secrets) -> SigningKey:
    """RatingSlip's key for its own tokens, and its public half where Loyalty looks for it."""
    path = made.subdirectory("ratingslip") / "service_token.pem"
    key = SigningKey.load_or_create(path)
    path.chmod(READABLE_MODE)
    made.written("loyalty/ratingslip.jwks.json", json.dumps(key.jwks()))
    return key


def write_environment(made: Secrets, key: SigningKey, server: str, options: str) -> None:
    """What each service and each migration gets by environment because it is secret."""
    query = f"?{options}" if options else ""
    for service in SERVICES:
        prefix = service.upper()

        def url(role: str, service: str = service) -> str:
            return f"postgresql://{role}:{made.password(role)}@{server}/{service}{query}"

        page_key = made.kept(
            f"passwords/{service}_page_token.key", secrets.token_urlsafe(PAGE_TOKEN_KEY_BYTES)
        )
        lines = [
            f"{prefix}_DATABASE_URL={url(f'{service}_service')}",
            f"{prefix}_PAGE_TOKEN_KEY={page_key}",
        ]
        if service == "ratingslip":
            lines.append(f"{prefix}_SERVICE_TOKEN_KEY_ID={key.key_id}")
        made.written(f"{service}.env", "\n".join([*lines, ""]), CLOSED_MODE)
        migration = f"{prefix}_MIGRATION_DATABASE_URL={url(f'{service}_owner')}\n"
        made.written(f"{service}_migration.env", migration, CLOSED_MODE)


def write_demo_identity(made: Secrets) -> None:
    """Stands in for an identity provider: its keys, and a token for each role."""
    key = SigningKey.load_or_create(made.directory / "demo_staff.pem")
    for service in SERVICES:
        made.written(f"{service}/staff.jwks.json", json.dumps(key.jwks()))
    write_demo_tokens(StaffTokens(key), made.subdirectory("demo_tokens"))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.compose.make_secrets",
        description="Makes what is missing of a deployment's keys, passwords and certificates.",
    )
    parser.add_argument("--directory", type=Path, default=HERE / "secrets")
    parser.add_argument("--issuer", help="who signs the staff's tokens: their claim `iss`")
    parser.add_argument("--jwks", help="the https URL of that issuer's public keys")
    parser.add_argument(
        "--demo-identity",
        action="store_true",
        help="instead of both: keys and tokens of a demo casino, never for real players",
    )
    parser.add_argument("--database-server", default=DEFAULT_DATABASE_SERVER, metavar="HOST:PORT")
    parser.add_argument(
        "--database-options",
        default="",
        metavar="QUERY",
        help="such as sslmode=verify-full&sslrootcert=/run/casino/database.crt",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="DNS_NAME",
        help="a further name by which clients reach the services; may be repeated",
    )
    options = parser.parse_args(arguments)
    if not options.demo_identity and not (options.issuer and options.jwks):
        parser.error("say who signs staff tokens with --issuer and --jwks, or --demo-identity")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
