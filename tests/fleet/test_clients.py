"""RedisRateLimiter with clients of the user's own, with users of few rights, and over TLS."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from redis.asyncio import Redis, Sentinel

from roomrec_async import ConfigurationError, RateLimiter
from roomrec_async.integrations import redis as integration
from roomrec_async.integrations.redis import RedisRateLimiter

from .conftest import LEASE, DelayingProxy, RedisServer, unused_port, use

COMMANDS = (
    "+time +info +hget +hset +hdel +zadd +zrem +zscore +zcard +zcount +zrank +zrange +zrevrange +zrangebyscore "
    "+zremrangebyscore +llen +rpush +del +pexpire"
)


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"single_connection_client": True}])
async def test_a_client_of_the_users_own_is_not_closed(redis: RedisServer, options: dict[str, bool]) -> None:
    async with Redis(host="127.0.0.1", port=redis.port, **options) as client:
        async with RedisRateLimiter(redis=client, name="AC-lent", lease_seconds=LEASE) as limiter:
            await use(limiter)
            assert f"127.0.0.1:{redis.port}" in repr(limiter)
            bounds = {"max_concurrency": 1}
            async with RedisRateLimiter(redis=client, name="AC-one", lease_seconds=LEASE, **bounds) as one:
                await use(one)
        assert redis.leases("AC-lent") == 0
        assert await client.ping()


async def test_a_client_with_one_connection_finds_the_new_primary() -> None:
    primary, replica = RedisServer(), RedisServer()
    for server in (primary, replica):
        server.start()
    replica.follow(primary)
    try:
        async with (
            DelayingProxy(primary.port) as address,
            Redis(port=address.port, single_connection_client=True) as client,
            RedisRateLimiter(redis=client, name="AC", lease_seconds=LEASE) as limiter,
        ):
            await use(limiter)
            replica.promote()
            primary.follow(replica)
            address.target = replica.port
            await use(limiter)
            assert not limiter.degraded
            assert replica.calls("evalsha") > 1
    finally:
        for server in (primary, replica):
            server.stop()


def test_a_client_of_another_event_loop_is_a_mistake(redis: RedisServer) -> None:
    def use_in_two_event_loops(client: Redis) -> None:
        async def second_use() -> None:
            async with RedisRateLimiter(redis=client, name="AC-loop", lease_seconds=LEASE) as limiter:
                with pytest.raises(ConfigurationError, match="works only in the event loop that it was first used in"):
                    await use(limiter, 1)

        async def first_use() -> None:
            await client.ping()

        asyncio.run(first_use())
        asyncio.run(second_use())

    use_in_two_event_loops(Redis.from_url(redis.url))
    # The client closes its connection by means of the event loop that has ended, which leaves the socket open.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


def test_a_url_or_a_client_is_needed() -> None:
    for arguments in ({}, {"url": "redis://localhost", "redis": Redis()}):
        with pytest.raises(ConfigurationError, match="either the URL of Redis or a client"):
            RedisRateLimiter(**arguments, name="AC")


@pytest.fixture
def sentinel_port(tmp_path: Path) -> Iterator[tuple[int, RedisServer, RedisServer]]:
    """Yield the port of a Sentinel, the primary that it watches, and its replica."""
    primary, replica = RedisServer(), RedisServer()
    for server in (primary, replica):
        server.start()
    replica.follow(primary)
    port = unused_port()
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor roomrec 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds roomrec 500\nsentinel failover-timeout roomrec 2000\n"
    )
    program = shutil.which("redis-server")
    assert program is not None
    process = subprocess.Popen([program, str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    yield port, primary, replica
    process.kill()
    process.wait(10)
    for server in (primary, replica):
        server.stop()


@pytest.mark.timeout(90)
async def test_sentinel_leads_to_the_new_primary(sentinel_port: tuple[int, RedisServer, RedisServer]) -> None:
    port, primary, replica = sentinel_port
    sentinel = Sentinel([("127.0.0.1", port)], socket_timeout=0.5)
    async with asyncio.timeout(20):
        while not await sentinel.sentinels[0].sentinel_slaves("roomrec"):
            await asyncio.sleep(0.1)
    async with sentinel.master_for("roomrec") as client:
        async with RedisRateLimiter(redis=client, name="AC", lease_seconds=LEASE) as limiter:
            await use(limiter)
            assert primary.calls("evalsha") > 0
            primary.stop()
            before = replica.calls("evalsha")
            async with asyncio.timeout(30):
                while limiter.degraded or replica.calls("evalsha") - before < 5:
                    await use(limiter, 1)
            await use(limiter)
    for each in sentinel.sentinels:
        await each.aclose()


@pytest.mark.parametrize("rights", ["+evalsha +script|load", "+evalsha +eval", "+evalsha"])
async def test_a_user_with_the_documented_rights(redis: RedisServer, rights: str) -> None:
    with redis.client() as admin:
        admin.acl_log_reset()
        admin.execute_command(
            *f"ACL SETUSER limited reset on >secret ~roomrec:* -@all {rights} +blpop {COMMANDS}".split()
        )
        admin.script_flush()
        if rights == "+evalsha":
            admin.script_load(Path(integration.__file__).with_name("script.lua").read_text())
        url = redis.url.replace("redis://", "redis://limited:secret@")
        async with RedisRateLimiter(url, name=f"AC-{len(rights)}", max_concurrency=1, lease_seconds=LEASE) as limiter:
            await use(limiter)
            assert not limiter.degraded
        denied = {entry["object"] for entry in admin.acl_log()}
        assert {str(each).lower() for each in denied} <= {"script|load", "client|setinfo"}


@pytest.mark.parametrize("missing", ["blpop", "zrevrange", "zadd", "hset", "evalsha"])
async def test_a_right_that_is_missing_is_named_and_nothing_waits_for_it(redis: RedisServer, missing: str) -> None:
    rights = f"+evalsha +script|load +blpop {COMMANDS}".replace(f"+{missing}", "").split()
    with redis.client() as admin:
        admin.execute_command("ACL", "SETUSER", "short", "reset", "on", ">secret", "~roomrec:*", "-@all", *rights)
    url = redis.url.replace("redis://", "redis://short:secret@")
    # More requests than permits: those that wait do so at Redis.
    async with RedisRateLimiter(url, name=f"AC-no-{missing}", max_concurrency=1, lease_seconds=LEASE) as limiter:
        with pytest.raises(ConfigurationError, match="grant what the documentation"):
            async with asyncio.timeout(LEASE + 5):
                await use(limiter)
        assert not limiter.degraded


async def test_what_the_documentation_lists_is_what_the_tests_grant() -> None:
    documented = " ".join((RedisRateLimiter.__doc__ or "").replace("`", " ").split())
    assert all(command in documented for command in COMMANDS.split())


@pytest.mark.parametrize(
    ("credentials", "database", "message"),
    [
        ("limited:canary@", 0, "user and the password"),
        ("nobody:canary@", 0, "user and the password"),
        ("", 99, "number of the database"),
        ("powerless:canary2@", 0, "grant what the documentation"),
    ],
)
@pytest.mark.parametrize("on_unavailable", ["degrade", "fail"])
async def test_mistakes_show_at_the_first_use(
    redis: RedisServer, credentials: str, database: int, message: str, on_unavailable: str
) -> None:
    with redis.client() as admin:
        admin.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~roomrec:*", "+@all")
        admin.execute_command("ACL", "SETUSER", "powerless", "reset", "on", ">canary2", "~other:*", "-@all", "+evalsha")
    url = f"redis://{credentials}127.0.0.1:{redis.port}/{database}"
    async with RedisRateLimiter(url, name="AC-mistake", on_unavailable=on_unavailable) as limiter:
        with pytest.raises(ConfigurationError, match=message) as refused:
            await use(limiter, 1)
        assert not limiter.degraded
    assert "canary" not in str(refused.value)


async def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "key.pem")
    tls_port = unused_port()
    server = RedisServer(
        None,
        *("--tls-port", str(tls_port), "--tls-cert-file", str(tmp_path / "key.pem")),
        *("--tls-key-file", str(tmp_path / "key.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem")),
        *("--tls-auth-clients", "no"),
    )
    server.start()
    try:
        url = f"rediss://127.0.0.1:{tls_port}/0"
        async with RedisRateLimiter(
            f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}", name="AC", lease_seconds=LEASE
        ) as limiter:
            await use(limiter)
            assert not limiter.degraded
        async with RedisRateLimiter(url, name="AC", lease_seconds=LEASE) as limiter:
            with pytest.raises(ConfigurationError, match="certificate"):
                await use(limiter, 1)
    finally:
        server.stop()


async def test_other_limits_of_the_fleet_are_named(redis: RedisServer) -> None:
    async with RedisRateLimiter(redis.url, name="AC-fleet", lease_seconds=LEASE) as fleet:
        await use(fleet, 1)
        for settings, difference in (
            ({"reads_per_second": 40}, "reads_per_second is 40 here and 80 there"),
            ({"max_concurrency": None}, "max_concurrency is None here and 20 there"),
            ({"writes_per_second": None}, "writes_per_second is None here and 20 there"),
        ):
            async with RedisRateLimiter(redis.url, name="AC-fleet", lease_seconds=LEASE, **settings) as other:
                with pytest.raises(ConfigurationError, match=difference):
                    await use(other, 1)
        async with RedisRateLimiter(
            redis.url, name="AC-fleet", lease_seconds=LEASE, max_concurrency="auto"
        ) as adapting:
            await use(adapting, 1)
            assert adapting.max_concurrency == 20
    # The last one of the fleet has left.
    async with RedisRateLimiter(redis.url, name="AC-fleet", lease_seconds=LEASE, reads_per_second=40) as other:
        await use(other, 1)


async def test_a_fleet_finds_one_concurrency_limit(redis: RedisServer) -> None:
    """What the processes of a fleet find together is what one process would have found alone."""
    hidden = 30
    async with (
        RedisRateLimiter(
            redis.url, name="AC-auto", max_concurrency="auto", reads_per_second=None, lease_seconds=LEASE
        ) as one,
        RedisRateLimiter(
            redis.url, name="AC-auto", max_concurrency="auto", reads_per_second=None, lease_seconds=LEASE
        ) as other,
    ):
        assert (one.max_concurrency, RateLimiter().max_concurrency) == (8, 8)
        in_flight = refused = done = 0

        async def requests(limiter: RedisRateLimiter) -> None:
            nonlocal in_flight, refused, done
            while done < 1500:
                async with limiter.read() as permit:
                    in_flight += 1
                    if in_flight > hidden:
                        permit.rate_limited()
                        refused += 1
                    else:
                        await asyncio.sleep(0.02)
                        permit.accepted()
                    in_flight -= 1
                    done += 1

        async with asyncio.timeout(30):
            await asyncio.gather(*(requests(limiter) for limiter in (one, other) for _ in range(30)))
        assert 0.7 * hidden <= one.max_concurrency <= hidden + 5
        assert abs(one.max_concurrency - other.max_concurrency) <= 3
    assert 0 < refused < 75


@pytest.mark.timeout(60)
async def test_forty_processes_start_with_the_defaults(redis: RedisServer) -> None:
    limiters = [RedisRateLimiter(redis.url, name="AC-forty", processes=40, lease_seconds=LEASE) for _ in range(40)]
    await asyncio.gather(*(use(limiter, 3) for limiter in limiters))
    assert redis.leases("AC-forty") == 0
    await asyncio.gather(*(limiter.aclose() for limiter in limiters))
