"""The object store, over raw HTTP: access by signed URLs, ranges, conditions, and its own faults and statistics."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from roomrec_async.simulator import faults

from .raw_http import (
    CONTENT_TYPES,
    EBML,
    SIZE,
    fetch,
    media_of,
    ok,
    session_of,
    signed_url,
    store_error,
    stored_records,
    unlimited,
)

# Signed URLs


@pytest.mark.parametrize("as_text", [True, False])
async def test_a_url_is_accepted_as_text_and_parsed(sim, http, anonymous, as_text):
    signed = await signed_url(http, stored_records(sim)[0]["url"], ContentDisposition="inline")
    async with anonymous.get(signed if as_text else URL(signed, encoded=True)) as response:
        assert response.status == 200


@pytest.mark.parametrize(("ttl", "expires"), [(None, "600"), ("1", "1"), ("600", "600"), ("3600", "3600")])
async def test_the_ttl_is_in_the_url(sim, http, ttl, expires):
    query = {} if ttl is None else {"Ttl": ttl}
    signed = await signed_url(http, stored_records(sim)[0]["url"], **query)
    assert URL(signed).query["X-Amz-Expires"] == expires


@pytest.mark.parametrize("requested", [None, "attachment", "inline"])
async def test_the_disposition_is_the_one_that_was_asked_for(sim, http, anonymous, requested):
    for record in [next(r for r in stored_records(sim) if r["container_format"] == kind) for kind in CONTENT_TYPES]:
        signed = await signed_url(http, record["url"], **({"ContentDisposition": requested} if requested else {}))
        async with anonymous.get(URL(signed, encoded=True)) as response:
            disposition, _, filename = response.headers["Content-Disposition"].partition(";")
        assert disposition == (requested or "attachment")
        assert filename.strip() == f"filename={record['sid']}.{record['container_format']}"


async def test_credentials_besides_the_signature_are_refused(sim, http):
    signed = URL(await signed_url(http, stored_records(sim)[0]["url"]), encoded=True)
    for authorization in (sim.credentials.authorization, "Bearer x", ""):
        async with aiohttp.ClientSession(headers={"Authorization": authorization}) as session:
            async with session.get(signed) as response:
                assert await store_error(response) == (400, "InvalidArgument")
                assert sim.credentials.password not in await response.text()


async def test_a_url_that_was_changed_is_refused(sim, http, anonymous):
    record, other = stored_records(sim)[:2]
    signed = await signed_url(http, record["url"], Ttl="60")
    longer = signed.replace("X-Amz-Expires=60&", "X-Amz-Expires=3600&")
    mark = signed[-1]
    for changed in (
        longer,
        signed[:-1] + ("0" if mark != "0" else "1"),
        signed[:-64],
        signed[: signed.index("&X-Amz-Signature")],
        signed.partition("?")[0],
        signed + "0",
        signed + "&X-Amz-Expires=3600",
        signed.replace("attachment", "inline"),
        signed.replace("?", "?x=1&"),
        signed.replace(record["sid"], other["sid"], 1),
        signed.replace(record["room_sid"], sim.room_sids[-1], 1),
        f"{sim.store.base_url}/",
    ):
        assert changed != signed
        async with anonymous.get(URL(changed, encoded=True)) as response:
            assert await store_error(response) == (403, "SignatureDoesNotMatch"), changed
    async with anonymous.get(URL(signed, encoded=True)) as response:
        assert response.status == 200


async def test_urls_expire(sim, http, anonymous):
    record = stored_records(sim)[0]
    earlier = [await signed_url(http, record["url"]) for _ in range(2)]
    assert earlier[0] != earlier[1]
    sim.store.expire_urls()
    later = await signed_url(http, record["url"])
    for url in earlier:
        async with anonymous.get(URL(url, encoded=True)) as response:
            assert await store_error(response) == (403, "AccessDenied")
    async with anonymous.get(URL(later, encoded=True)) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("ttl", "after", "status"), [(60, 57, 200), (60, 61, 403), (3600, 3597, 200), (3600, 3601, 403)]
)
async def test_a_url_expires_after_its_ttl(sim, http, anonymous, monkeypatch, ttl, after, status):
    signed = await signed_url(http, stored_records(sim)[0]["url"], Ttl=str(ttl))

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=after)

    monkeypatch.setattr("roomrec_async.simulator.media_store.datetime", Later)
    async with anonymous.get(URL(signed, encoded=True)) as response:
        assert response.status == status


async def test_a_url_of_another_account_is_refused(sim, http, anonymous):
    signed = URL(await signed_url(http, stored_records(sim)[0]["url"]), encoded=True)
    async with unlimited(3, 5, seed=77) as other:
        async with anonymous.get(signed.with_port(URL(other.store.base_url).port)) as response:
            assert await store_error(response) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_the_store_is_for_reading(sim, http, anonymous, method):
    record = stored_records(sim)[0]
    signed = await signed_url(http, record["url"])
    async with anonymous.request(method, URL(signed, encoded=True)) as response:
        assert await store_error(response) == (405, "MethodNotAllowed")
        assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD"}
    async with anonymous.get(URL(signed, encoded=True)) as response:
        assert await response.read() == media_of(sim, record["sid"])


# Responses


async def test_media_are_as_their_records_say(sim, http, anonymous):
    kinds, bodies = set(), []
    for record in stored_records(sim)[::6]:
        response, body = await fetch(anonymous, await signed_url(http, record["url"]))
        assert response.status == 200
        assert body.startswith(EBML)
        assert body == media_of(sim, record["sid"])
        assert len(body) == record["size"] == int(response.headers["Content-Length"])
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Content-Type"] == CONTENT_TYPES[record["container_format"]]
        assert response.headers["Last-Modified"].endswith("GMT")
        kinds.add(record["container_format"])
        bodies.append(body)
    assert kinds == set(CONTENT_TYPES)
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("accepted", ["gzip, deflate, br", "gzip", "*", "identity"])
async def test_media_are_never_compressed(sim, http, anonymous, accepted):
    record = stored_records(sim)[0]
    headers = {"Accept-Encoding": accepted}
    response, body = await fetch(anonymous, await signed_url(http, record["url"]), **headers)
    assert "Content-Encoding" not in response.headers
    assert body == media_of(sim, record["sid"])


async def test_a_head_has_the_headers_of_a_get(sim, http, anonymous):
    record = stored_records(sim)[0]
    signed = await signed_url(http, record["url"])
    got, _ = await fetch(anonymous, signed)
    async with anonymous.head(URL(signed, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, b"")
        for name in ("ETag", "Content-Length", "Content-Type", "Accept-Ranges", "Content-Disposition", "Last-Modified"):
            assert response.headers[name] == got.headers[name]
        assert int(response.headers["Content-Length"]) == record["size"]
    async with anonymous.head(URL(signed + "0", encoded=True)) as response:
        assert response.status == 403
    assert [received.method for received in sim.store.requests] == ["GET", "HEAD", "HEAD"]


# Ranges


@pytest.mark.parametrize(
    ("requested", "first", "last"),
    [
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=0-3", 0, 3),
        ("bytes=3-3", 3, 3),
        ("bytes=36-38", 36, 38),
        ("bytes=1000-1999", 1000, 1999),
        ("bytes=1000-", 1000, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        (f"bytes=-{SIZE + 1}", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
        (f"bytes=0-{SIZE}", 0, SIZE - 1),
        (f"bytes=5-{10**15}", 5, SIZE - 1),
    ],
)
async def test_a_range_is_a_part_of_the_whole(anonymous, stored, requested, first, last):
    _, _, signed, content = stored
    response, body = await fetch(anonymous, signed, Range=requested)
    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert int(response.headers["Content-Length"]) == last - first + 1
    assert body == content[first : last + 1]
    complete, _ = await fetch(anonymous, signed)
    for name in ("ETag", "Content-Type", "Accept-Ranges", "Last-Modified", "Content-Disposition"):
        assert response.headers[name] == complete.headers[name]


@pytest.mark.parametrize("requested", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", f"bytes={10**18}-", "bytes=-0"])
async def test_a_range_outside_the_media_is_416(anonymous, stored, requested):
    response, body = await fetch(anonymous, stored[2], Range=requested)
    assert response.status == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert b"<Code>InvalidRange</Code>" in body


@pytest.mark.parametrize(
    "requested", ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "0-1"]
)
async def test_what_is_not_one_range_gets_the_whole(anonymous, stored, requested):
    response, body = await fetch(anonymous, stored[2], Range=requested)
    assert (response.status, body) == (200, stored[3])
    assert "Content-Range" not in response.headers


async def test_a_range_with_its_ends_swapped_is_no_part(anonymous, stored):
    response, body = await fetch(anonymous, stored[2], Range="bytes=9-5")
    # RFC 9110 leaves the choice: pass it over or refuse it.
    assert response.status == 416 or (response.status, body) == (200, stored[3])


async def test_a_range_of_absurdly_many_digits_is_no_error(anonymous, stored):
    response, _ = await fetch(anonymous, stored[2], Range=f"bytes=5-{'9' * 5_000}")
    assert response.status in {200, 206, 416}


async def test_no_part_of_nothing(anonymous):
    async with unlimited(2, 8, seed=1, media_size=0) as sim, session_of(sim) as http:
        signed = await signed_url(http, stored_records(sim)[0]["url"])
        for requested in ("bytes=0-", "bytes=0-0", "bytes=-5"):
            response, _ = await fetch(anonymous, signed, Range=requested)
            assert (response.status, response.headers["Content-Range"]) == (416, "bytes */0")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, SIZE - 1), max_size=6, unique=True))
@example(cuts=[4, 38, 65_521 + 38, 2**18, 2**18 + 38])
async def test_parts_together_are_the_whole(anonymous, stored, cuts):
    _, _, signed, content = stored
    edges = [0, *sorted(cuts), SIZE]
    parts = [await fetch(anonymous, signed, Range=f"bytes={start}-{stop - 1}") for start, stop in pairwise(edges)]
    assert b"".join(body for _, body in parts) == content
    assert {response.status for response, _ in parts} == {206}
    assert len({response.headers["ETag"] for response, _ in parts}) == 1


# Versions


async def test_conditions_hold_for_the_version_that_is_there(anonymous, stored):
    sim, record, signed, content = stored
    first, _ = await fetch(anonymous, signed)
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    response, body = await fetch(anonymous, signed, **{"If-Match": tag, "Range": "bytes=10-19"})
    assert (response.status, body) == (206, content[10:20])
    response, body = await fetch(anonymous, signed, **{"If-Range": tag, "Range": "bytes=10-19"})
    assert (response.status, body) == (206, content[10:20])

    sim.store.replace(record["sid"])
    second, changed = await fetch(anonymous, signed)
    assert second.status == 200
    assert second.headers["ETag"] != tag
    assert changed != content
    assert len(changed) == len(content)
    assert changed.startswith(EBML)
    assert media_of(sim, record["sid"]) == changed
    response, body = await fetch(anonymous, signed, **{"If-Match": tag, "Range": "bytes=10-19"})
    assert response.status == 412
    assert b"<Code>PreconditionFailed</Code>" in body
    response, body = await fetch(anonymous, signed, **{"If-Range": tag, "Range": "bytes=10-19"})
    assert (response.status, body) == (200, changed)
    response, body = await fetch(anonymous, signed, **{"If-Range": tag, "Range": f"bytes={SIZE}-"})
    assert (response.status, body) == (200, changed)
    response, _ = await fetch(anonymous, signed, **{"If-Match": second.headers["ETag"]})
    assert response.status == 200


async def test_any_version_will_do_for_an_asterisk(anonymous, stored):
    response, body = await fetch(anonymous, stored[2], **{"If-Match": "*"})
    assert (response.status, body) == (200, stored[3])


async def test_replacing_one_recording_leaves_the_others(sim, http, anonymous):
    one, other = stored_records(sim)[:2]
    before = [media_of(sim, record["sid"]) for record in (one, other)]
    tags = set()
    for _ in range(3):
        tags.add((await fetch(anonymous, await signed_url(http, one["url"])))[0].headers["ETag"])
        sim.store.replace(one["sid"])
    assert len(tags) == 3
    assert media_of(sim, one["sid"]) != before[0]
    assert media_of(sim, other["sid"]) == before[1]
    assert await ok(http, one["url"]) == one


# Faults and statistics


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.Reset(), aiohttp.ClientConnectionError),
        (faults.ResetMidBody(after=1_000), aiohttp.ClientError),
        (faults.Truncate(after=1_000), aiohttp.ClientPayloadError),
        (faults.StallHeaders(30), TimeoutError),
        (faults.StallBody(after=1_000, seconds=30), TimeoutError),
        (faults.SlowDrip(bytes_per_second=1_000), TimeoutError),
    ],
)
async def test_faults_happen_at_the_store_alone(anonymous, stored, fault, error):
    sim, record, signed, content = stored
    # aiohttp's own client sends a request again, once, when its connection is lost before the headers.
    sim.store.inject(fault, times=2 if isinstance(fault, faults.Reset) else 1)
    async with session_of(sim) as http:
        assert await ok(http, record["url"]) == record
    with pytest.raises(error):
        async with anonymous.get(URL(signed, encoded=True), timeout=aiohttp.ClientTimeout(total=0.3)) as response:
            await response.read()
    response, body = await fetch(anonymous, signed)
    assert (response.status, body) == (200, content)


async def test_faults_of_the_api_leave_the_store_alone(anonymous, stored):
    sim, record, signed, content = stored
    sim.inject(faults.Respond(503), times=None)
    async with session_of(sim) as http, http.get(record["url"]) as response:
        assert response.status == 503
    response, body = await fetch(anonymous, signed)
    assert (response.status, body) == (200, content)


async def test_faults_that_change_a_response_of_the_store(anonymous, stored):
    sim, record, signed, content = stored
    sim.store.inject(faults.Respond(503, b"<Error><Code>SlowDown</Code></Error>"), path_contains=record["sid"])
    sim.store.inject(faults.Replace(lambda body: body[:-1] + b"\0"))
    sim.store.inject(faults.Respond(500), path_contains="elsewhere")
    response, body = await fetch(anonymous, signed)
    assert (response.status, body) == (503, b"<Error><Code>SlowDown</Code></Error>")
    _, body = await fetch(anonymous, signed)
    assert body == content[:-1] + b"\0"
    _, body = await fetch(anonymous, signed)
    assert body == content


async def test_a_body_that_is_cut_can_be_resumed(anonymous, stored):
    sim, _, signed, content = stored
    sim.store.inject(faults.Truncate(after=70_000))
    received = bytearray()
    async with anonymous.get(URL(signed, encoded=True)) as response:
        assert int(response.headers["Content-Length"]) == SIZE
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                received += piece
    assert 0 < len(received) <= 70_000
    resumed, rest = await fetch(
        anonymous, signed, Range=f"bytes={len(received)}-", **{"If-Match": response.headers["ETag"]}
    )
    assert resumed.status == 206
    assert bytes(received) + rest == content


async def test_large_media_can_be_cut_by_a_fault(anonymous):
    async with unlimited(2, 8, seed=1, media_size=20_000_000) as sim, session_of(sim) as http:
        signed = await signed_url(http, stored_records(sim)[0]["url"])
        sim.store.inject(faults.Truncate(after=1_000))
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(anonymous, signed)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_large_media_can_be_changed_by_a_fault(anonymous, encrypted):
    async with unlimited(40, 3, seed=3, media_size=6_000_000) as sim, session_of(sim) as http:
        signed = await signed_url(http, stored_records(sim, encrypted=encrypted)[0]["url"])
        _, before = await fetch(anonymous, signed)
        sim.store.inject(faults.Replace(lambda body: body[:-1_000]))
        response, after = await fetch(anonymous, signed)
        assert after == before[:-1_000]
        assert int(response.headers["Content-Length"]) == len(after)


async def test_the_store_has_statistics_of_its_own(anonymous, stored):
    sim, record, signed, _ = stored
    assert (sim.stats.requests, sim.store.stats.requests) == (1, 0)
    await fetch(anonymous, signed, Range="bytes=0-9")
    await fetch(anonymous, signed + "0")
    assert [received.path for received in sim.requests] == [urlsplit(record["links"]["media"]).path]
    assert sim.store.stats.by_status == {206: 1, 403: 1}
    assert (sim.stats.requests, sim.store.stats.requests, sim.store.stats.connections) == (1, 2, 1)
    received = sim.store.requests[0]
    assert (received.method, received.status, received.headers["Range"]) == ("GET", 206, "bytes=0-9")
    assert received.path.endswith(record["sid"])
    assert received.query_string == urlsplit(signed).query
    assert "Authorization" not in received.headers
    assert sim.store.stats.in_flight == 0


async def test_the_store_has_no_quota(anonymous, stored):
    sim, _, signed, _ = stored
    sim.reads_per_second, sim.concurrency_limit = 0, 0
    found = await asyncio.gather(*(fetch(anonymous, signed, Range="bytes=0-9") for _ in range(50)))
    assert {response.status for response, _ in found} == {206}
