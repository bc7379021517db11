"""The embedded PostgreSQL cluster: where it can run, and what it survives."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import asyncpg

from deploy.local.postgres import PostgresCluster, wheel_bin_directory


async def test_postgres_runs_below_a_directory_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed to others"
    closed.mkdir(mode=0o700)
    bin_directory = wheel_bin_directory()
    wheel = bin_directory.parents[1]
    for part in wheel.parent.glob(f"{wheel.name}*"):
        shutil.copytree(part, closed / part.name)
    cluster = PostgresCluster(
        closed / "cluster",
        bin_directory=closed / bin_directory.relative_to(wheel.parent),
        durable=False,
    )
    with cluster:
        connection = await asyncpg.connect(cluster.superuser_url())
        assert await connection.fetchval("SELECT 'é' > 'z' COLLATE \"default\"")
        await connection.close()


async def test_postgres_recovers_from_a_crash_whose_process_id_lives_on(tmp_path: Path) -> None:
    cluster = PostgresCluster(tmp_path / "cluster")
    try:
        cluster.start()
        connection = await asyncpg.connect(cluster.superuser_url())
        await connection.execute("CREATE TABLE committed AS SELECT 42 AS answer")
        pid_file = tmp_path / "cluster" / "data" / "postmaster.pid"
        crashed, rest = pid_file.read_text().split("\n", 1)
        os.kill(int(crashed), signal.SIGKILL)
        connection.terminate()
        cluster.stop()
        # As if the system had given the ID to another program of the same user.
        pid_file.write_text(f"{os.getpid()}\n{rest}")

        cluster.start()

        connection = await asyncpg.connect(cluster.superuser_url())
        assert await connection.fetchval("SELECT answer FROM committed") == 42
        await connection.close()
    finally:
        cluster.delete()
