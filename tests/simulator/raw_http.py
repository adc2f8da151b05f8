"""Requests to the simulator without the library's client, and the records and media to expect."""

from datetime import datetime
from importlib.resources import files

import aiohttp
from yarl import URL

from roomrec_async.simulator import Simulator

FIELDS = [
    "sid", "url", "size", "type", "codec", "links", "offset", "status", "duration", "room_sid", "source_sid",
    "track_name", "account_sid", "date_created", "date_deleted", "date_updated", "grouping_sids", "encryption_key",
    "container_format", "media_external_location",
]  # fmt: skip
EXAMPLES = files("roomrec_async.simulator") / "examples"
STATUSES = ("processing", "completed", "deleted", "failed")
EBML = b"\x1a\x45\xdf\xa3"
CONTENT_TYPES = {"mka": "audio/x-matroska", "mkv": "video/x-matroska"}
# Bytes of the media of most tests of the store.
SIZE = 300_000


def unlimited(*args, **kwargs) -> Simulator:
    """Return a simulator without quotas and without a concurrency limit."""
    return Simulator(*args, **{"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None} | kwargs)


def session_of(sim) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization})


# URLs


def room_list(sim, room_sid, **query) -> URL:
    return URL(f"{sim.base_url}/v1/Rooms/{room_sid}/Recordings").with_query(query)


def account_list(sim, query=()) -> URL:
    return URL(f"{sim.base_url}/v1/Recordings").with_query(query)


def account_url(sim, sid) -> str:
    return f"{sim.base_url}/v1/Recordings/{sid}"


# Requests to the API


def as_url(url) -> URL:
    """Return a URL that is sent as it stands: aiohttp would decode and encode a text."""
    return URL(url, encoded=True) if isinstance(url, str) else url


async def get(http, url) -> tuple[int, dict]:
    async with http.get(as_url(url)) as response:
        return response.status, await response.json()


async def ok(http, url) -> dict:
    async with http.get(as_url(url)) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def refused(http, url, status, code, *, method="GET") -> dict:
    async with http.request(method, as_url(url), allow_redirects=False) as response:
        body = await response.json()
    assert (response.status, body["status"], body["code"]) == (status, status, code), body
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert list(body) == ["code", "message", "more_info", "status"]
    return body


async def delete(http, url) -> int:
    async with http.delete(url) as response:
        body = await response.read()
        assert body == b"" or response.status >= 400
        return response.status


async def pages(http, url) -> list[dict]:
    found = [await ok(http, url)]
    while found[-1]["meta"]["next_page_url"]:
        found.append(await ok(http, found[-1]["meta"]["next_page_url"]))
    return found


async def records(http, url) -> list[dict]:
    return [record for page in await pages(http, url) for record in page["recordings"]]


async def signed_url(http, recording_url, **query) -> str:
    async with http.get(URL(f"{recording_url}/Media").with_query(query), allow_redirects=False) as response:
        assert response.status == 302, await response.text()
        return (await response.json())["redirect_to"]


# Requests to the store


async def fetch(anonymous, signed, **headers):
    async with anonymous.get(as_url(signed), headers=headers) as response:
        return response, await response.read()


async def store_error(response) -> tuple[int, str]:
    text = await response.text()
    assert response.content_type == "application/xml"
    assert text.startswith("<?xml")
    return response.status, text.partition("<Code>")[2].partition("</Code>")[0]


# Expectations


def sids(found) -> list[str]:
    return sorted(record["sid"] for record in found)


def all_records(sim, *statuses) -> list[dict]:
    """Return the recordings of all rooms, as their rooms list them; by default whatever their status."""
    found = []
    for room_sid in sim.room_sids:
        for status in statuses or STATUSES:
            found += sim.recordings(room_sid, status)
    return found


def is_listed(record, query) -> bool:
    """Return True if the record matches all filters of an account-wide list, computed record by record."""
    created = datetime.fromisoformat(record["date_created"])
    tests = {
        "Status": lambda value: record["status"] == value,
        "SourceSid": lambda value: record["source_sid"] == value,
        "GroupingSid": lambda value: value in record["grouping_sids"].values(),
        "MediaType": lambda value: record["type"] == value,
        "DateCreatedAfter": lambda value: created >= datetime.fromisoformat(value),
        "DateCreatedBefore": lambda value: created < datetime.fromisoformat(value),
    }
    filtered = all(tests[name](value) for name, value in query if name in tests)
    return filtered and (record["status"] != "deleted" or ("Status", "deleted") in query)


def of_account(sim, record) -> dict:
    """Return a room's record as the account lists it."""
    url = account_url(sim, record["sid"])
    return {name: value for name, value in record.items() if name != "room_sid"} | {
        "url": url,
        "links": {"media": f"{url}/Media"},
    }


def is_stored(record) -> bool:
    return record["status"] == "completed" and record["media_external_location"] is None and not is_muted(record)


def is_muted(record) -> bool:
    """Return True for a track without any sound: its recording is complete, and has no media."""
    return record["status"] == "completed" and record["duration"] == 0


def stored_records(sim, *, encrypted=False) -> list[dict]:
    """Return the recordings with media in the object store, by default those that are not encrypted."""
    return [r for r in all_records(sim, "completed") if is_stored(r) and (r["encryption_key"] is not None) == encrypted]


def media_of(sim, sid) -> bytes:
    return b"".join(sim.media(sid))
