"""RedisRateLimiter with a Redis Cluster: any node's URL, a node that dies, and slots that move."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot

from roomrec_async import ConfigurationError
from roomrec_async.integrations.redis import RedisRateLimiter

from .conftest import LEASE, RedisServer, unused_port, use


def start_cluster(nodes: int, replicas: int) -> list[RedisServer]:
    """Start the nodes of a cluster, with so many replicas of each primary, and wait until it can be used."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
    servers = [RedisServer(None, *options, port=free_port_for_a_node()) for _ in range(nodes)]
    for server in servers:
        server.start()
    addresses = [f"127.0.0.1:{server.port}" for server in servers]
    run_cli("--cluster", "create", *addresses, "--cluster-replicas", str(replicas), "--cluster-yes")
    deadline = time.monotonic() + 20
    while not all(map(is_ready, servers)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return servers


def is_ready(server: RedisServer) -> bool:
    """Return True if a node knows the cluster, and has the data of its primary."""
    is_linked = "master_link_status:down" not in run_cli("-p", str(server.port), "info", "replication")
    return is_linked and "cluster_state:ok" in run_cli("-p", str(server.port), "cluster", "info")


def run_cli(*arguments: str) -> str:
    program = shutil.which("redis-cli")
    assert program is not None
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def free_port_for_a_node() -> int:
    """Return a port that leaves room for that of the cluster's bus, 10,000 higher."""
    while (port := unused_port()) > 55_000:
        pass
    return port


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    """Three nodes that share the slots."""
    servers = start_cluster(3, 0)
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def replicated_cluster() -> Iterator[list[RedisServer]]:
    """Three nodes that share the slots, and a replica of each."""
    servers = start_cluster(6, 1)
    yield servers
    for server in servers:
        server.stop()


def ids_of(servers: list[RedisServer]) -> dict[int, str]:
    """Return the names that the nodes have for each other, by port."""
    return {server.port: run_cli("-p", str(server.port), "cluster", "myid").strip() for server in servers}


def owner_of(name: str, servers: list[RedisServer]) -> RedisServer:
    """Return the node that has the keys of a limit."""
    for server in servers:
        nodes = run_cli("-p", str(server.port), "cluster", "nodes")
        own = next(line.split() for line in nodes.splitlines() if "myself" in line)
        ranges = [list(map(int, word.split("-"))) for word in own[8:] if "[" not in word]
        if "master" in own[2] and any(each[0] <= key_slot(name.encode()) <= each[-1] for each in ranges):
            return server
    raise AssertionError(f"no node has the keys of {name}")


@pytest.mark.timeout(60)
async def test_a_cluster(cluster: list[RedisServer]) -> None:
    nodes = [ClusterNode("127.0.0.1", server.port) for server in cluster]
    async with RedisCluster(startup_nodes=nodes) as client:
        async with RedisRateLimiter(redis=client, name="AC", lease_seconds=LEASE) as limiter:
            await use(limiter)
            assert not limiter.degraded
            async with RedisRateLimiter(redis=client, name="AC-one", max_concurrency=1, lease_seconds=LEASE) as one:
                await use(one)
        assert await client.ping()


@pytest.mark.timeout(60)
async def test_the_url_of_any_node_leads_to_the_cluster(cluster: list[RedisServer]) -> None:
    for server in cluster:
        async with RedisRateLimiter(server.url, name="AC-url", lease_seconds=LEASE) as limiter:
            await use(limiter)
            assert not limiter.degraded


async def test_a_client_of_one_node_is_a_mistake(cluster: list[RedisServer]) -> None:
    refused = 0
    for server in cluster:
        async with Redis(port=server.port) as client:
            async with RedisRateLimiter(redis=client, name="AC-node", lease_seconds=LEASE) as limiter:
                try:
                    await use(limiter, 1)
                except ConfigurationError as error:
                    assert "redis.asyncio.RedisCluster" in str(error)
                    refused += 1
    assert refused == 2


@pytest.mark.timeout(60)
async def test_many_who_learn_at_once_that_it_is_a_cluster(cluster: list[RedisServer]) -> None:
    for server in cluster:
        async with RedisRateLimiter(server.url, name="AC-at-once", lease_seconds=LEASE) as limiter:
            # A pause, a release and a request: each is a command of its own.
            limiter.pause(0.1)
            limiter.pause(0.2)
            await use(limiter)
            assert not limiter.degraded


@pytest.mark.timeout(90)
async def test_a_node_dies_and_its_replica_takes_over(replicated_cluster: list[RedisServer]) -> None:
    name = "AC-failover"
    former = owner_of(name, replicated_cluster)
    others = [server for server in replicated_cluster if server is not former]
    async with RedisRateLimiter(former.url, name=name, lease_seconds=LEASE) as limiter:
        await use(limiter)
        former.stop()
        async with asyncio.timeout(60):
            await use(limiter)
            while limiter.degraded:
                await asyncio.sleep(0.1)
        await use(limiter)
        assert owner_of(name, others).calls("evalsha") > 30


@pytest.mark.timeout(60)
async def test_slots_move_to_another_node_meanwhile(cluster: list[RedisServer]) -> None:
    name = "AC-moving"
    slot = str(key_slot(name.encode()))
    source = owner_of(name, cluster)
    target = next(server for server in cluster if server is not source)
    ids = ids_of(cluster)
    async with RedisRateLimiter(source.url, name=name, lease_seconds=LEASE) as limiter:
        await use(limiter)
        using = asyncio.create_task(use_again_and_again(limiter))

        run_cli("-p", str(target.port), "cluster", "setslot", slot, "importing", ids[source.port])
        run_cli("-p", str(source.port), "cluster", "setslot", slot, "migrating", ids[target.port])
        # Key by key: in between, neither of them has all.
        while keys := run_cli("-p", str(source.port), "cluster", "getkeysinslot", slot, "1").split():
            run_cli("-p", str(source.port), "migrate", "127.0.0.1", str(target.port), "", "0", "5000", "keys", *keys)
            await asyncio.sleep(0.05)
        for server in cluster:
            run_cli("-p", str(server.port), "cluster", "setslot", slot, "node", ids[target.port])

        before = target.calls("evalsha")
        async with asyncio.timeout(40):
            while limiter.degraded or target.calls("evalsha") < before + 10:
                await asyncio.sleep(0.1)
        using.cancel()
        await asyncio.wait([using])
        await use(limiter)
    assert using.cancelled()


async def use_again_and_again(limiter: RedisRateLimiter) -> None:
    while True:
        async with limiter.read():
            pass
