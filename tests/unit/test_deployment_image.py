"""The image: what its Containerfile copies is all that the services need, and no more."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "image" / "Containerfile"
LOCK = ROOT / "deploy" / "requirements" / "runtime.lock"
EXIT_CONFIGURATION = 78
NEEDED = {
    "loyalty_service": {"LOYALTY_DATABASE_URL", "LOYALTY_JWKS", "LOYALTY_SERVICE_JWKS"},
    "ratingslip_service": {"RATINGSLIP_DATABASE_URL", "RATINGSLIP_LOYALTY_ADDRESS"},
}
PROGRAMS = ("deploy.explain", "deploy.image.ledger_check")


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions in order, without comments and broken lines."""
    lines = [
        line for line in CONTAINERFILE.read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


def copies() -> list[tuple[list[str], str]]:
    """Every COPY from the project, as sources and destination."""
    arguments = [shlex.split(rest) for word, rest in instructions() if word == "COPY"]
    return [(parts[:-1], parts[-1]) for parts in arguments if not parts[0].startswith("--from")]


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The image's /app, made by its own COPY lines."""
    root = tmp_path_factory.mktemp("image")
    for sources, destination in copies():
        for source in sources:
            path, target = ROOT / source, root / destination.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target = target / path.name if destination.endswith("/") else target
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    return root / "app"


def run(application: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m …` as the image does: with the image's files, and no others of ours."""
    packages = sysconfig.get_path("purelib")
    return subprocess.run(
        # -S: the path to this project, which its editable installation adds, is not followed.
        [sys.executable, "-S", "-m", *arguments],
        cwd=application,
        env={"PYTHONPATH": f"{application}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("service", NEEDED)
def test_a_service_starts_from_the_image_s_files_and_says_what_it_is_not_told(
    service: str, application: pathlib.Path
) -> None:
    done = run(application, service)

    assert done.returncode == EXIT_CONFIGURATION, done.stderr
    missing = set(re.findall(r"^(\w+): is required$", done.stderr, re.MULTILINE))
    assert missing >= NEEDED[service]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_operators_run_starts_from_the_image_s_files(
    program: str, application: pathlib.Path
) -> None:
    done = run(application, program, "--help")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def test_nothing_is_imported_that_the_runtime_lock_does_not_install(
    application: pathlib.Path,
) -> None:
    pins = (re.match(r"[\w.-]+(?===)", line) for line in LOCK.read_text().splitlines())
    locked = {match[0].lower().replace("_", "-") for match in pins if match}
    distributions = importlib.metadata.packages_distributions()
    ours = {path.stem for path in application.iterdir()}
    strangers = {}
    for path in application.rglob("*.py"):
        for name in imported(path) - ours - sys.stdlib_module_names:
            providers = {each.lower().replace("_", "-") for each in distributions.get(name, [])}
            if not providers & locked:
                strangers[name] = path.relative_to(application)
    assert strangers == {}


def imported(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_the_image_runs_as_a_user_who_is_not_root_and_holds_nothing_to_build_with() -> None:
    starts = [index for index, (word, _) in enumerate(instructions()) if word == "FROM"]
    assert len(starts) == 2
    final = instructions()[starts[-1] :]
    (user,) = [rest for word, rest in final if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    commands = " ".join(rest for word, rest in final if word == "RUN")
    assert not re.search(r"pip|venv|gcc|build-essential|-dev\b", commands)
    assert "python3 -m venv --without-pip /opt/venv" in CONTAINERFILE.read_text()


def test_packages_are_installed_by_hash_and_none_is_built() -> None:
    (install,) = [rest for word, rest in instructions() if word == "RUN" and "/bin/pip" in rest]
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:"):
        assert option in install


def test_the_builder_is_sent_what_is_copied_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    sources = [source for sources, _ in copies() for source in sources]
    for source in sources:
        assert any(source == each or source.startswith(f"{each}/") for each in sent), source
    for each in sent:
        assert any(source == each or source.startswith(f"{each}/") for source in sources), each
