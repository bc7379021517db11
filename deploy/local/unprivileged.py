"""A user for PostgreSQL, which refuses to run as root, and places that user can reach.

A checkout below a directory closed to others (`/root`, say) hides both the
binaries and the data from an unprivileged user. Both then live in directories
of their own under /var/tmp or the system's directory for temporary files; their
names follow from what they stand for, so the next run finds them again.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

USER_NAME = "nobody"
# Before the system's directory for temporary files, because it survives a restart.
LASTING_TEMPORARY_DIRECTORY = Path("/var/tmp")
DIRECTORY_PREFIX = "casino-postgres-"
# 64 bits of a hash: enough that no two paths of one machine meet.
NAME_DIGITS = 16


@dataclass(frozen=True)
class UnprivilegedUser:
    """The user that PostgreSQL runs as when we are root."""

    name: str
    uid: int
    gid: int


def unprivileged_user() -> UnprivilegedUser | None:
    """The user to run PostgreSQL as, or None where we are not root ourselves.

    Raises:
        RuntimeError: the system has no user `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(USER_NAME)
    except KeyError:
        raise RuntimeError(
            f"PostgreSQL does not run as root, and there is no user {USER_NAME} to run it as"
        ) from None
    return UnprivilegedUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def directory_for(path: Path) -> Path:
    """Where, as root, the data that belongs to `path` lives; the directory need not exist."""
    return _open_place() / f"{DIRECTORY_PREFIX}{_digest(os.fsencode(path.resolve()))}"


def make_directory(directory: Path) -> None:
    """Makes a directory that others may pass through and only we may write to.

    Raises:
        PermissionError: it exists, and someone else owns it or may write to it.
    """
    directory.mkdir(mode=0o711, exist_ok=True)
    found = directory.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{directory} belongs to someone else; remove it and try again")
    # The umask may have taken away what the other user needs.
    directory.chmod(0o711)


def reachable_programs(programs: Path) -> Path:
    """PostgreSQL's programs where others can run them: these, or those of a copy.

    A copy holds what the programs need as well, each thing where they look for it.
    All checkouts with the same version share one.
    """
    trees = _trees(programs)
    if all(others_can_reach(path) for path in (programs / "postgres", *trees)):
        return programs
    root = programs.parents[2]
    server = (programs / "postgres").read_bytes()
    copy = _open_place() / f"{DIRECTORY_PREFIX}binaries-{_digest(server)}"
    if not _is_complete_copy(trees, root, copy):
        _copy_for_others(trees, root, copy)
    return copy / programs.relative_to(root)


def _trees(programs: Path) -> list[Path]:
    """The installation, and the libraries that a wheel keeps beside its package."""
    installation = programs.parent
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    return [installation, libraries] if libraries.is_dir() else [installation]


def others_can_reach(path: Path) -> bool:
    """Whether anyone may read and run (or pass through) `path`, and reach it from the root."""
    resolved = path.resolve()
    mode = resolved.stat().st_mode
    if not mode & stat.S_IROTH or not mode & stat.S_IXOTH:
        return False
    return all(above.stat().st_mode & stat.S_IXOTH for above in resolved.parents)


def _open_place() -> Path:
    """A directory for temporary files that everyone can reach and programs may run from."""
    for candidate in (LASTING_TEMPORARY_DIRECTORY, Path(tempfile.gettempdir())):
        if not candidate.is_dir() or not others_can_reach(candidate):
            continue
        if not os.statvfs(candidate).f_flag & os.ST_NOEXEC:
            return candidate
    raise RuntimeError(
        f"PostgreSQL needs a directory that user {USER_NAME} can reach and run programs from;"
        f" neither {LASTING_TEMPORARY_DIRECTORY} nor {tempfile.gettempdir()} is one"
    )


def _is_complete_copy(trees: list[Path], root: Path, copy: Path) -> bool:
    """Whether `copy` is ours and holds every file: cleaners of old files leave half a tree."""
    if not copy.is_dir() or copy.is_symlink() or copy.stat().st_uid != os.geteuid():
        return False
    sources = [path for tree in trees for path in tree.rglob("*") if path.is_file()]
    return all(_is_same_size(source, copy / source.relative_to(root)) for source in sources)


def _is_same_size(source: Path, target: Path) -> bool:
    return target.is_file() and target.stat().st_size == source.stat().st_size


def _copy_for_others(trees: list[Path], root: Path, copy: Path) -> None:
    """Copies the trees beside their place first, so that nobody ever sees half of them."""
    unfinished = Path(tempfile.mkdtemp(prefix=copy.name, dir=copy.parent))
    try:
        for tree in trees:
            shutil.copytree(tree, unfinished / tree.relative_to(root))
        for path in (unfinished, *unfinished.rglob("*")):
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
        shutil.rmtree(copy, ignore_errors=True)
        unfinished.rename(copy)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:NAME_DIGITS]
