"""RedisRateLimiter in one process, with a real Redis."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress

import pytest

from roomrec_async import ClientClosedError, ConfigurationError, ConnectionFailedError, InvalidArgumentError
from roomrec_async.integrations.redis import RedisRateLimiter

from .conftest import LEASE, OTHER_NAME, RedisServer, most_in_a_second

PASSWORD = "canary-p%40ss"


def limiter_at(redis: RedisServer, name: str, **settings: object) -> RedisRateLimiter:
    return RedisRateLimiter(redis.url, name=name, lease_seconds=LEASE, **settings)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_two_limiters_of_one_name_share_the_limit(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as one, limiter_at(redis, known) as other:
        in_flight = []

        async def request(limiter: RedisRateLimiter) -> None:
            async with limiter.read():
                in_flight.append(one.in_flight + other.in_flight)
                await asyncio.sleep(0.6)

        await asyncio.gather(*(request(limiter) for limiter in (one, other) for _ in range(30)))
    assert max(in_flight) == 20
    assert redis.leases(known) == 0


async def test_other_names_are_other_limits(redis: RedisServer, known: str) -> None:
    bounds = {"max_concurrency": 1, "processes": 1}
    async with limiter_at(redis, known, **bounds) as one, limiter_at(redis, OTHER_NAME, **bounds) as other:
        async with asyncio.timeout(1), one.read(), other.read():
            assert (redis.leases(known), redis.leases(OTHER_NAME)) == (1, 1)


async def test_a_permit_costs_one_round_trip_and_another_to_give_it_back(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as limiter:
        async with limiter.read():
            pass
        before = redis.calls("evalsha"), redis.calls("blpop")
        for _ in range(50):
            async with limiter.read():
                pass
        assert (redis.calls("evalsha") - before[0], redis.calls("blpop") - before[1]) == (100, 0)


async def test_waiters_do_not_poll_while_everything_is_taken(redis: RedisServer, known: str) -> None:
    bounds = {"max_concurrency": 1, "processes": 1}
    async with limiter_at(redis, known, **bounds) as holder, limiter_at(redis, known, **bounds) as other:
        async with holder.read():
            waiters = [asyncio.create_task(other.read().__aenter__()) for _ in range(100)]
            before = redis.calls("evalsha")
            await asyncio.sleep(1)
            # One command asks for all who stand at Redis, about four times per second; both give signs of life.
            assert redis.calls("evalsha") - before <= 8
            assert (other.waiting, redis.waiters(known)) == (100, 16)
            for waiter in waiters:
                waiter.cancel()
            await asyncio.wait(waiters)


async def test_reads_and_writes_are_paced_apart(redis: RedisServer, known: str) -> None:
    rates = {"reads_per_second": 40, "writes_per_second": 10}
    async with limiter_at(redis, known, **rates) as one, limiter_at(redis, known, **rates) as other:
        reads: list[float] = []
        writes: list[float] = []

        async def start(limiter: RedisRateLimiter, *, write: bool) -> None:
            async with limiter.write() if write else limiter.read():
                (writes if write else reads).append(now())

        both = (one, other)
        await asyncio.gather(
            *(start(limiter, write=False) for limiter in both for _ in range(40)),
            *(start(limiter, write=True) for limiter in both for _ in range(10)),
        )
    assert most_in_a_second(reads) <= 40
    assert most_in_a_second(writes) <= 10
    assert (len(reads), len(writes)) == (80, 20)


async def test_first_come_first_served_within_a_process(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known, max_concurrency=1, processes=1) as limiter:
        order = []

        async def request(number: int) -> None:
            async with limiter.read():
                order.append(number)

        await asyncio.gather(*(request(number) for number in range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_a_request_cancelled_at_any_moment_leaves_no_lease(redis: RedisServer, known: str, turns: int) -> None:
    async with limiter_at(redis, known) as limiter:
        tasks = asyncio.all_tasks()

        async def request() -> None:
            async with limiter.read():
                pass

        requesting = asyncio.create_task(request())
        for _ in range(turns):
            await asyncio.sleep(0)
        requesting.cancel()
        with suppress(asyncio.CancelledError):
            await requesting
        assert asyncio.all_tasks() == tasks
        assert (limiter.in_flight, limiter.waiting) == (0, 0)
        assert (redis.leases(known), redis.waiters(known)) == (0, 0)


async def test_many_cancelled_waiters_leave_no_lease(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as limiter:
        tasks = asyncio.all_tasks()

        async def request() -> None:
            async with limiter.read():
                await asyncio.sleep(60)

        requests = [asyncio.create_task(request()) for _ in range(1000)]
        async with asyncio.timeout(5):
            while limiter.in_flight < 20:
                await asyncio.sleep(0.01)
        assert (redis.leases(known), limiter.waiting) == (20, 980)
        for each in requests:
            each.cancel()
        await asyncio.wait(requests)
        assert asyncio.all_tasks() == tasks
        assert (limiter.in_flight, limiter.waiting) == (0, 0)
        assert (redis.leases(known), redis.waiters(known)) == (0, 0)
        async with asyncio.timeout(1), limiter.read():
            pass


async def test_a_release_is_not_lost_if_its_caller_is_cancelled(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as limiter:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def request() -> None:
            async with limiter.read():
                entered.set()
                await leave.wait()

        requesting = asyncio.create_task(request())
        await entered.wait()
        leave.set()
        await asyncio.sleep(0)
        requesting.cancel()
        await asyncio.wait([requesting])
        assert (limiter.in_flight, redis.leases(known)) == (0, 0)


async def test_a_long_request_keeps_its_permit(redis: RedisServer, known: str) -> None:
    bounds = {"max_concurrency": 1, "processes": 1}
    async with limiter_at(redis, known, **bounds) as holder, limiter_at(redis, known, **bounds) as other:
        async with holder.read():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(LEASE + 1), other.read():
                    pass
        async with asyncio.timeout(1), other.read():
            pass


async def cancel_tasks(method: str) -> None:
    """Cancel the tasks that run a method of a limiter, as a program does that cancels all tasks but its own."""
    while not (found := [task for task in asyncio.all_tasks() if f".{method}()" in repr(task)]):
        await asyncio.sleep(0)
    for task in found:
        task.cancel()


async def test_whoever_waits_gets_a_permit_though_the_task_that_asks_for_it_is_cancelled(
    redis: RedisServer, known: str
) -> None:
    async with limiter_at(redis, known, max_concurrency=1) as limiter:
        granted = asyncio.Event()

        async def request() -> None:
            async with limiter.read():
                granted.set()

        async with limiter.read():
            waiting = asyncio.create_task(request())
            await asyncio.sleep(0.1)
            await cancel_tasks("_ask")
            await asyncio.sleep(0)
        async with asyncio.timeout(LEASE):
            await granted.wait()
            await waiting


async def test_a_permit_is_renewed_though_a_heartbeat_is_cancelled(redis: RedisServer, known: str) -> None:
    bounds = {"max_concurrency": 1, "processes": 1}
    async with limiter_at(redis, known, **bounds) as holder, limiter_at(redis, known, **bounds) as other:
        async with holder.read():
            await cancel_tasks("_beat")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(LEASE + 1), other.read():
                    pass


async def test_a_pause_holds_for_all_processes(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as one, limiter_at(redis, known) as other:
        begun = now()
        one.pause(1.0)
        async with one.read():
            waited = [now() - begun]
        one.pause(1.0)
        begun = now()
        await asyncio.sleep(0.1)
        async with other.read():
            waited.append(now() - begun)
    assert min(waited) >= 1.0


async def test_a_flushed_script_is_sent_again(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as limiter:
        with redis.client() as client:
            client.script_flush()
        async with asyncio.timeout(1), limiter.read():
            assert redis.leases(known) == 1


async def test_an_empty_redis_grants_nothing_until_leases_were_renewed(own_redis: RedisServer) -> None:
    own_redis.start()
    bounds = {"max_concurrency": 2, "processes": 2}
    async with limiter_at(own_redis, "AC", **bounds) as one, limiter_at(own_redis, "AC", **bounds) as other:
        async with one.read(), one.read():
            own_redis.stop()
            own_redis.start()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(LEASE + 1), other.read():
                    pass
        async with asyncio.timeout(2), other.read():
            pass


async def test_the_fallback_uses_a_share_of_the_quota_and_logs_one_warning(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "roomrec_async")
    bounds = {"max_concurrency": 4, "reads_per_second": None, "processes": 2}
    async with limiter_at(own_redis, "AC", **bounds) as limiter:
        in_flight = []

        async def request() -> None:
            async with limiter.read():
                in_flight.append(limiter.in_flight)
                await asyncio.sleep(0.05)

        await asyncio.gather(*(request() for _ in range(40)))
        assert max(in_flight) == limiter.max_concurrency == 2
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert f"127.0.0.1:{own_redis.port}" in caplog.text
        own_redis.start()
        await wait_for_limit(limiter, 4)
        async with asyncio.timeout(LEASE + 1), limiter.read():
            assert own_redis.leases("AC") == 1
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_requests_in_flight_count_in_the_fallback(own_redis: RedisServer) -> None:
    own_redis.start()
    async with limiter_at(own_redis, "AC", max_concurrency=4, processes=2) as limiter:
        async with limiter.read():
            async with limiter.read(), limiter.write():
                own_redis.stop()
                await wait_for_limit(limiter, 2)
                permit = limiter.read()
                waiting = asyncio.create_task(permit.__aenter__())
                await asyncio.sleep(LEASE + 0.5)
                assert (limiter.in_flight, limiter.waiting) == (3, 1)
            # Two of three were returned, and one of two permits is free.
            async with asyncio.timeout(1):
                await waiting
            assert (limiter.in_flight, limiter.waiting) == (2, 0)
        await permit.__aexit__(None, None, None)
        assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_a_permit_held_through_two_outages_is_returned_once(own_redis: RedisServer) -> None:
    own_redis.start()
    async with limiter_at(own_redis, "AC", max_concurrency=2, processes=2) as limiter:
        async with limiter.read():
            own_redis.stop()
            await wait_for_limit(limiter, 1)
            own_redis.start()
            await wait_for_limit(limiter, 2)
            assert own_redis.leases("AC") == 1
            own_redis.stop()
            await wait_for_limit(limiter, 1)
        permits = [limiter.read(), limiter.read()]
        waiting = [asyncio.create_task(permit.__aenter__()) for permit in permits]
        await asyncio.sleep(LEASE + 0.5)
        assert [task.done() for task in waiting] == [True, False]
        await permits[0].__aexit__(None, None, None)
        async with asyncio.timeout(1):
            await waiting[1]
        await permits[1].__aexit__(None, None, None)


async def wait_for_limit(limiter: RedisRateLimiter, max_concurrency: int) -> None:
    """Wait until the limiter has noticed that Redis was lost, or is back."""
    async with asyncio.timeout(LEASE):
        while limiter.max_concurrency != max_concurrency:
            await asyncio.sleep(0.01)


async def test_requests_fail_while_redis_is_unavailable(own_redis: RedisServer) -> None:
    async with limiter_at(own_redis, "AC", on_unavailable="fail") as limiter:
        with pytest.raises(ConnectionFailedError, match=r"'AC'.*on_unavailable='degrade'") as failed:
            await limiter.write().__aenter__()
        assert failed.value.url == f"redis://127.0.0.1:{own_redis.port}"
        assert (limiter.in_flight, limiter.waiting) == (0, 0)
        own_redis.start()
        async with asyncio.timeout(LEASE + 2), limiter.write():
            pass


async def test_a_redis_that_hangs_is_unavailable() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with RedisRateLimiter(f"redis://127.0.0.1:{port}", name="AC", on_unavailable="fail") as limiter:
            with pytest.raises(ConnectionFailedError, match="no answer within 1 s"):
                await limiter.read().__aenter__()


async def test_the_password_is_never_shown(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"redis://somebody:{PASSWORD}@127.0.0.1:{own_redis.port}/0?password={PASSWORD}"
    shown = []
    for on_unavailable in ("fail", "degrade"):
        limiter = RedisRateLimiter(url, name="AC", on_unavailable=on_unavailable)
        async with limiter:
            with pytest.raises((ConnectionFailedError, TimeoutError)) as failed:
                async with asyncio.timeout(0.5):
                    await limiter.read().__aenter__()
            error: BaseException | None = failed.value
            while error is not None:
                shown += [repr(error), str(error), repr(vars(error))]
                error = error.__cause__ or error.__context__
        shown += [repr(limiter), repr(vars(limiter))]
    with pytest.raises(InvalidArgumentError) as refused:
        RedisRateLimiter(f"redis://:canary/{PASSWORD}@host", name="AC")
    shown += [str(refused.value), caplog.text]
    assert "AC" in caplog.text
    assert "canary" not in "".join(shown)


async def test_a_wrong_password_is_reported(own_redis: RedisServer) -> None:
    own_redis.password = "right"
    own_redis.url = own_redis.url.replace("redis://", "redis://:right@")
    own_redis.start()
    wrong = own_redis.url.replace("right", "canary")
    async with RedisRateLimiter(wrong, name="AC", on_unavailable="fail") as limiter:
        with pytest.raises(ConfigurationError, match=r"(?i)password") as failed:
            await limiter.read().__aenter__()
    assert "canary" not in str(failed.value)


async def test_closing_that_is_cancelled_is_finished_nevertheless_and_by_every_call(
    redis: RedisServer, known: str
) -> None:
    with redis.client() as admin:
        connections = len(admin.client_list())
        limiter = limiter_at(redis, known, max_concurrency=1, processes=1)
        async with limiter.read():
            pass
        member = limiter._member
        closing = [asyncio.create_task(limiter.aclose()) for _ in range(2)]
        await asyncio.sleep(0)
        closing[0].cancel()
        assert [type(each) for each in await asyncio.gather(*closing, return_exceptions=True)] == [
            asyncio.CancelledError,
            type(None),
        ]
        await limiter.aclose()
        assert admin.zscore(f"roomrec:{{{known}}}:members", member) is None
        async with asyncio.timeout(5):
            while len(admin.client_list()) > connections:
                await asyncio.sleep(0.02)


async def test_a_closed_limiter_refuses_and_waits_for_nobody(redis: RedisServer, known: str) -> None:
    bounds = {"max_concurrency": 1, "processes": 1}
    limiter = limiter_at(redis, known, **bounds)
    async with limiter.read():
        waiter = asyncio.create_task(limiter.read().__aenter__())
        await asyncio.sleep(0.1)
        await limiter.aclose()
        await limiter.aclose()
        with pytest.raises(ClientClosedError):
            await waiter
    with pytest.raises(ClientClosedError):
        await limiter.write().__aenter__()


async def test_another_event_loop_is_refused(redis: RedisServer, known: str) -> None:
    async with limiter_at(redis, known) as limiter:

        async def request() -> None:
            async with limiter.read():
                pass

        await request()
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(request()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency must be an integer from 1, 'auto' or None, not 0"),
        ({"max_concurrency": "Auto"}, "max_concurrency must be an integer from 1, 'auto' or None, not 'Auto'"),
        ({"max_concurrency": True}, "max_concurrency must be an integer from 1, 'auto' or None, not True"),
        ({"reads_per_second": 0}, "reads_per_second must be positive and at most 1,000,000, or None, not 0"),
        (
            {"writes_per_second": float("nan")},
            "writes_per_second must be positive and at most 1,000,000, or None, not nan",
        ),
        ({"lease_seconds": 2.9}, "lease_seconds must be a number of seconds from 3, not 2.9"),
        ({"lease_seconds": float("inf")}, "lease_seconds must be a number of seconds from 3, not inf"),
        ({"lease_seconds": "5"}, "lease_seconds must be a number of seconds from 3, not '5'"),
        ({"on_unavailable": "wait"}, "on_unavailable must be 'degrade' or 'fail', not 'wait'"),
        ({"processes": 0}, "processes must be an integer from 1, not 0"),
        ({"processes": 2.0}, "processes must be an integer from 1, not 2.0"),
        ({"name": ""}, "name must be letters, digits and _.:@-"),
        ({"name": "AC{1}"}, "name must be letters, digits and _.:@-"),
        ({"name": None}, "name must be letters, digits and _.:@-"),
        ({"url": "http://localhost"}, "url must be a Redis URL"),
        ({"url": "redis://localhost:port"}, "url must be a Redis URL"),
        ({"url": 6379}, "url must be a Redis URL"),
        ({"url": "redis://localhost/recordings"}, "url must be a Redis URL"),
        ({"url": "redis:///0"}, "url must be a Redis URL"),
        ({"url": "redis://user:pa@ss@host/0"}, "url must be a Redis URL"),
        ({"url": "redis://user:pa/ss@host/0"}, "url must be a Redis URL"),
        ({"url": "redis://user:12/34@host/0"}, "url must be a Redis URL"),
        ({"url": "rediss://:pa?ss@host/0"}, "url must be a Redis URL"),
        ({"url": "redis://user:12?a=34@host/0"}, "url must be a Redis URL"),
        ({"url": "redis://:pa#ss@host/0"}, "url must be a Redis URL"),
    ],
)
def test_arguments_out_of_bounds_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{re.escape(message)}") as refused:
        RedisRateLimiter(**{"url": "redis://localhost", "name": "AC", **settings})
    if "@" in str(settings.get("url")):
        assert not re.search("pa|ss[^w]|12|34|user", str(refused.value).replace("password", ""))


def test_a_limit_may_be_smaller_than_the_number_of_processes() -> None:
    limiter = RedisRateLimiter("redis://localhost", name="AC", max_concurrency=1, processes=40)
    assert (limiter.max_concurrency, limiter.in_flight, limiter.waiting) == (1, 0, 0)
    assert repr(limiter) == "<RedisRateLimiter of 'AC' at redis://localhost:6379>"


async def test_a_request_counts_from_when_its_connection_was_open(redis: RedisServer, known: str) -> None:
    log = f"roomrec:{{{known}}}:reads:log"
    with redis.client() as admin:
        async with limiter_at(redis, known) as limiter:
            async with limiter.read() as permit:
                ((name, started_at),) = admin.zrevrange(log, 0, 0, withscores=True)
                await asyncio.sleep(0.6)
                permit.sent_late(0.5)
            # Both are 0.1 s later than what they are about: the request has reached the service by then.
            assert admin.zscore(log, name) - started_at >= 500_000
