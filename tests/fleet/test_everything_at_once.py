"""A web fleet, the command line and a cluster keep one quota, through one Redis."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from roomrec_async.integrations.dask import ClusterSettings, export_on
from roomrec_async.simulator import Simulator

from .conftest import RedisServer, fleet, most_in_a_second

QUOTA = 80
SECONDS = 14
MAX_LATE_FRACTION = 0.01


@pytest.mark.timeout(120)
async def test_one_quota_for_everything(own_redis: RedisServer, tmp_path: Path) -> None:
    own_redis.start()
    async with Simulator(300, 1, reads_per_second=QUOTA, concurrency_limit=20, latency=(0.02, 0.1)) as simulator:
        rooms = tmp_path / "rooms.txt"
        rooms.write_text("\n".join(simulator.room_sids))
        account = simulator.credentials.account_sid
        environment = {
            **os.environ,
            "ROOMREC_BASE_URL": simulator.base_url,
            "ROOMREC_REDIS_URL": own_redis.url,
            "TWILIO_ACCOUNT_SID": account,
            "TWILIO_AUTH_TOKEN": simulator.credentials.password,
        }
        settings = ClusterSettings(
            credentials=simulator.credentials, base_url=simulator.base_url, rooms_per_shard=100, redis=own_redis.url
        )
        assert own_redis.url not in repr(settings)
        async with (
            LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None, asynchronous=True) as local,
            Client(local, asynchronous=True) as cluster,
            fleet(2, simulator, own_redis.url, seconds=SECONDS, at_once=8, name=account),
        ):
            command = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "roomrec_async.cli", "list", "--from-file", str(rooms)),
                *("-o", str(tmp_path / "recordings.csv"), "--no-progress"),
                env=environment,
                stderr=PIPE,
            )
            report = await export_on(cluster, simulator.room_sids, tmp_path / "out", settings=settings)
            _, stderr = await command.communicate()
        assert command.returncode == 0, stderr.decode()
        assert (report.complete, report.recordings, report.failed) == (True, 300, 0)
        arrivals = [request.arrived_at for request in simulator.requests]
        used = (len(arrivals) - 1) / (max(arrivals) - min(arrivals)) / QUOTA
        sys.stdout.write(
            f"\nweb fleet, command line and cluster: {most_in_a_second(arrivals)} in the fullest second, "
            f"{simulator.stats.refused} of {simulator.stats.requests} refused, {used:.1%} of the quota used\n"
        )
        # A request that started in time can arrive late from a process that waits for a CPU: it is refused and retried.
        assert simulator.stats.refused <= simulator.stats.requests * MAX_LATE_FRACTION
