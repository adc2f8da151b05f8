"""What people write by mistake: each is refused at once, with a sentence that says what to do instead."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from yarl import URL

from roomrec_async import (
    Bounds,
    ClientClosedError,
    ConfigurationError,
    Credentials,
    DateWindow,
    InvalidArgumentError,
    RateLimiter,
    Recording,
    RecordingsClient,
    RetryPolicy,
    Room,
    RoomResult,
    Size,
    Timeout,
    from_dict,
    to_dict,
    to_json_lines,
    webhooks,
)
from roomrec_async.simulator import Simulator, faults

from ..conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID

KEY_SID = "SK" + "3" * 32
OTHER_ACCOUNT = "AC" + "9" * 32
SID = "RT" + "1" * 32
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
RECORDING = Recording(sid=SID, room_sid=ROOM_SID)
ROOM = Room(sid=ROOM_SID)
Use = Callable[[RecordingsClient], Any]


class Foreign:
    """What another library has: no kind of ours."""


class Counter:
    def started(self, activity: object) -> None: ...
    def ended(self, activity: object) -> None: ...


SETTINGS = [
    ({"session": Foreign()}, "session must be an aiohttp.ClientSession, .*: leave it out"),
    ({"session": aiohttp.ClientSession}, r"session must be .*: create one: aiohttp.ClientSession\(\)"),
    ({"limiter": 10}, r"limiter must be a RateLimiter .*, not 10: RateLimiter\(max_concurrency=10\)"),
    ({"limiter": 0}, r"limiter must be a RateLimiter .*, not 0"),
    ({"limiter": False}, r"limiter must be a RateLimiter .*, not False"),
    ({"limiter": RateLimiter}, r"limiter must be .*: create one: RateLimiter\(\)"),
    ({"limiter": asyncio.Semaphore(5)}, r"limiter must be .*: RateLimiter\(max_concurrency=...\) has a semaphore"),
    ({"retry": 3}, r"retry must be a RetryPolicy, not 3: for instance RetryPolicy\(max_attempts=3\)"),
    ({"retry": 0}, "retry must be a RetryPolicy, not 0"),
    ({"retry": False}, "retry must be a RetryPolicy, not False"),
    ({"retry": RetryPolicy}, "retry must be a RetryPolicy, not <class"),
    ({"bounds": 100}, "bounds must be a Bounds, not 100"),
    ({"bounds": Bounds}, "bounds must be a Bounds, not <class"),
    ({"timeout": "5"}, r"timeout must be a number of seconds or a Timeout, not '5': .*Timeout\(total"),
    ({"timeout": (5, 30)}, r"timeout must be .*: for several bounds, give Timeout\(total=..., connect=..., read=...\)"),
    ({"timeout": aiohttp.ClientTimeout(total=5)}, "timeout must be a number of seconds or a Timeout, not ClientTime"),
    ({"timeout": timedelta(seconds=5)}, "timeout must be a number of seconds or a Timeout, not datetime.timedelta"),
    ({"timeout": True}, "timeout must be a number of seconds or a Timeout, not True"),
    ({"timeout": 0}, "timeout: total must be a positive number of seconds, not 0"),
    ({"timeout": Timeout}, "timeout must be a number of seconds or a Timeout, not <class"),
    ({"observers": [print]}, r"observers must be objects with the methods started\(activity\) and ended\(activity\)"),
    ({"observers": print}, r"observers must be a list of objects with started\(\) and ended\(\)"),
    ({"observers": Counter()}, r"observers must be a list: put the observer into one"),
    ({"observers": [Counter]}, "observers must be objects .*: give an object of the class"),
    ({"observers": "log"}, "observers must be a list"),
    ({"observers": None}, "observers must be a list"),
    ({"trace_configs": aiohttp.TraceConfig()}, "trace_configs must be a list of aiohttp.TraceConfig, not"),
    ({"trace_configs": [print]}, "trace_configs must be a list of aiohttp.TraceConfig"),
    ({"trace_configs": None}, "trace_configs must be a list of aiohttp.TraceConfig, not None"),
    ({"proxy": {"https": "http://proxy:3128"}}, "proxy must be the URL of an HTTP proxy, such as"),
    ({"trust_env": "false"}, "trust_env must be True or False, not 'false'"),
    ({"ssl": False}, "ssl must be a SSLContext, not False: for instance ssl.create_default_context"),
    ({"ssl": "ca.pem"}, r"ssl must be a SSLContext, not 'ca.pem': .*\(cafile='ca.pem'\)"),
    ({"base_url": None}, "base_url must be 'https://host'"),
    ({"base_url": "video.twilio.com"}, "base_url must be 'https://host'"),
    ({"user_agent": "my-app/1.2\r\nX-Evil: 1"}, "user_agent must be printable ASCII such as 'my-app/1.2', not"),
    ({"user_agent": ""}, "user_agent must be printable ASCII"),
    ({"user_agent": ("my-app", "1.2")}, "user_agent must be printable ASCII"),
]


@pytest.mark.parametrize(("settings", "sentence"), SETTINGS, ids=lambda value: str(value)[:50])
def test_a_setting_of_the_wrong_kind_is_refused_when_the_client_is_made(
    credentials: Credentials, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        RecordingsClient(credentials, **settings)


@pytest.mark.parametrize("name", ["session", "ssl", "limiter", "retry", "bounds", "timeout", "user_agent"])
def test_none_is_the_default_of_a_setting(credentials: Credentials, name: str) -> None:
    RecordingsClient(credentials, **{name: None})


def test_what_fits_is_taken(credentials: Credentials) -> None:
    RecordingsClient(
        credentials,
        ssl=ssl.create_default_context(),
        limiter=RateLimiter(),
        retry=RetryPolicy(),
        bounds=Bounds(),
        observers=(Counter(),),
        trace_configs=[aiohttp.TraceConfig()],
        user_agent="my-app/1.2 (nightly export)",
    )


@pytest.mark.parametrize(
    "given",
    [
        (ACCOUNT_SID, AUTH_TOKEN),
        [ACCOUNT_SID, AUTH_TOKEN],
        AUTH_TOKEN,
        {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN},
        Credentials,
    ],
    ids=lambda value: type(value).__name__,
)
def test_credentials_of_another_kind_are_refused_and_not_shown(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^credentials must be Credentials, .*from_env\(\)") as refused:
        RecordingsClient(given)
    assert AUTH_TOKEN not in str(refused.value)


@pytest.mark.parametrize("make", [RecordingsClient, lambda: RecordingsClient(None)], ids=["left out", "None"])
def test_without_credentials_the_two_ways_to_give_them_are_named(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match=r"^no credentials: give Credentials\(.*from_env\(\)"):
        make()


def test_from_env_names_the_variables_that_are_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN \(or"):
        RecordingsClient.from_env({})


def test_credentials_from_something_else_than_an_environment() -> None:
    environ: Any = ".env"
    for read in (Credentials.from_env, RecordingsClient.from_env):
        with pytest.raises(InvalidArgumentError, match=r"^environ must be a mapping, such as os\.environ"):
            read(environ)


def test_an_api_key_in_place_of_the_account() -> None:
    with pytest.raises(InvalidArgumentError, match=r"that is the SID of an API key, for Credentials.api_key\("):
        Credentials("SK" + "1" * 32, "secret")


# Rooms and recordings

ROOMS = [
    ([ROOM_SID], r"room_sid must be .*: many rooms are for client.gather\(\), client.as_completed\(\) or"),
    ((sid for sid in [ROOM_SID]), r"room_sid must be .*: many rooms are for client.gather\(\)"),
    (None, "room_sid must be the SID of a room or a Room, not None: a variable or a field .* is empty"),
    ("", "room_sid must be 'RM' and 32 .*, not '': a variable or a field that holds it is empty"),
    (f" {ROOM_SID}", r"room_sid must be .*: there is white space around it, which .strip\(\) removes"),
    (f"{ROOM_SID}\n", r"room_sid must be .*: there is white space around it"),
    (SID, "room_sid must be .*: that is the SID of a recording"),
    (OTHER_ACCOUNT, "room_sid must be .*: that is the SID of an account"),
    (ROOM_SID.lower(), "room_sid must be .*: its first two letters are capitals: RM"),
    ("weekly-call", r"room_sid must be .*: client.rooms\(unique_name=...\) finds a room by its name"),
    ({"sid": ROOM_SID}, r"room_sid must be .*: give its 'sid', or make a Room of it with from_dict\(Room, ...\)"),
    (ROOM_SID.encode(), "room_sid must be .*: decode the bytes to text"),
    (RECORDING, "room_sid must be .*: give its room_sid"),
    (RoomResult(ROOM_SID, []), "room_sid must be .*: give its room_sid"),
    (Room, "room_sid must be .*: call it, and give what it returns"),
    (Room(), "the Room has no sid"),
    (Room(sid=ROOM_SID, account_sid=OTHER_ACCOUNT), f"room {ROOM_SID} is of account {OTHER_ACCOUNT}, and .*: use"),
    (7, "room_sid must be the SID of a room or a Room, not 7$"),
]
RECORDINGS = [
    (SID, "recording must be a Recording"),
    (None, "recording must be a Recording, .*not None: a variable or a field .* is empty"),
    ([RECORDING], "recording must be a Recording, .*: one recording at a time, in a loop"),
    ({"sid": SID}, r"recording must be .*: make a Recording of it with from_dict\(Recording, ...\)"),
    (ROOM, "recording must be .*: a room has many recordings"),
    (Recording, "recording must be .*: call it"),
    (Recording(), "the Recording has no sid"),
    (Recording(sid="RT1"), "a recording's sid must be 'RT' and 32"),
    (Recording(sid=SID, account_sid=OTHER_ACCOUNT), "(recording )?RT1+ is .*account AC9+"),
]
MANY = [
    (ROOM_SID, r"room_sids must be an iterable of rooms or room SIDs, .*: put one room into a list, or use"),
    (ROOM, "room_sids must be .*: put one room into a list"),
    (None, "room_sids must be an iterable of rooms or room SIDs, not None"),
    ([None], "room_sid must be the SID of a room or a Room, not None"),
    ([RECORDING], "room_sid must be .*: give its room_sid"),
    ([{"sid": ROOM_SID}], "room_sid must be .*: give its 'sid'"),
    ([[ROOM_SID]], "room_sid must be"),
    ([Room(sid=ROOM_SID, account_sid=OTHER_ACCOUNT)], "room RM1+ is of account AC9+"),
]


def by_name(value: object) -> str:
    return str(value)[:40] if isinstance(value, (str, list)) else type(value).__name__


@pytest.mark.parametrize(("room", "sentence"), ROOMS, ids=by_name)
@pytest.mark.parametrize("method", ["recordings", "participants"])
async def test_what_is_no_room_is_refused(client: RecordingsClient, method: str, room: Any, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        getattr(client, method)(room)


@pytest.mark.parametrize(("room", "sentence"), ROOMS, ids=by_name)
@pytest.mark.parametrize("method", ["recording", "delete"])
async def test_what_is_no_room_of_a_recording_is_refused(
    client: RecordingsClient, method: str, room: Any, sentence: str
) -> None:
    if isinstance(room, Recording):
        sentence = "a Recording has its own SID"
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        await getattr(client, method)(room, SID)


@pytest.mark.parametrize(("recording", "sentence"), RECORDINGS, ids=by_name)
@pytest.mark.parametrize(
    "use",
    [
        lambda client, recording: client.recording(recording),
        lambda client, recording: client.delete(recording),
        lambda client, recording: client.signed_media_url(recording),
        lambda client, recording: client.download(recording, "media/"),
    ],
    ids=["recording", "delete", "signed_media_url", "download"],
)
async def test_what_is_no_recording_is_refused(
    client: RecordingsClient, use: Any, recording: Any, sentence: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        await use(client, recording)


@pytest.mark.parametrize(("rooms", "sentence"), MANY, ids=by_name)
@pytest.mark.parametrize("method", ["gather", "as_completed", "stream"])
@pytest.mark.parametrize("options", [{}, {"via": "account", "date_created_after": datetime(2026, 1, 1, tzinfo=UTC)}])
async def test_what_is_no_collection_of_rooms_is_refused(
    client: RecordingsClient, method: str, options: Any, rooms: Any, sentence: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        if method == "gather":
            await client.gather(rooms, **options)
        else:
            async for _ in getattr(client, method)(rooms, **options):
                pass


# Other arguments

ARGUMENTS: list[tuple[Use, str]] = [
    (lambda client: client.delete(ROOM, RECORDING), "a Recording says in which room it is: give it alone"),
    (lambda client: client.delete(SID, ROOM_SID), "room_sid must be .*: that is the SID of a recording"),
    (lambda client: client.delete(ROOM_SID, f"{SID} "), "a recording's sid must be .*: there is white space"),
    (lambda client: client.delete(ROOM_SID, ""), "a recording's sid must be .*: a variable or a field"),
    (lambda client: client.download(SID, "media/"), "recording must be a Recording, or a room followed by the"),
    (lambda client: client.download(ROOM, "media/"), "recording must be .*: a room has many recordings"),
    (lambda client: client.download(SID, ROOM_SID, "media/"), "room_sid must be .*: that is the SID of a recording"),
    (lambda client: client.signed_media_url(RECORDING, SID), "a Recording has its own SID: give no other with it"),
    (lambda client: client.signed_media_url(ROOM), "recording must be .*: a room has many recordings"),
    (lambda client: client.download(RECORDING, None), "destination must be a path, the URL of a store, or a Dest"),
    (lambda client: client.download(RECORDING, b"media/"), "destination must be a path, the URL of a store"),
    (lambda client: client.download(RECORDING, Counter), "destination must be a path, the URL of a store"),
    (lambda client: client.download(RECORDING, "x", on_bytes=7), "on_bytes must be a function, or None, not 7"),
    (lambda client: client.download(RECORDING, "x", wait="5"), "wait must be a number of seconds from 0, not '5'"),
    (lambda client: client.signed_media_url(RECORDING, ttl="60"), "ttl must be an integer from 1 to 3600, not '60'"),
    (lambda client: client.stream([ROOM], on_error="log"), "on_error must be a function, or None, not 'log'"),
    (lambda client: client.gather([ROOM], return_exceptions="no"), "return_exceptions must be True or False"),
    (lambda client: client.gather([ROOM], via="acount"), "via must be 'rooms' or 'account', not 'acount'"),
    (lambda client: client.gather([ROOM], via="account"), "via='account' needs date_created_after"),
    (lambda client: client.recordings(ROOM, prefetch=3), "prefetch must be True or False, not 3"),
    (lambda client: client.recordings(ROOM, limit="10"), "limit must be an integer from 0, not '10'"),
    (lambda client: client.recordings(ROOM, page_size=0), "page_size must be an integer from 1 to 1000, not 0"),
    (lambda client: client.recordings(ROOM, status="complete"), "status must be one of processing, completed"),
    (lambda client: client.recordings(ROOM, resume=RECORDING), "resume is not a token .*: give the resume_token"),
    (lambda client: client.account_recordings(grouping_sids=ROOM_SID), "grouping_sids must be a list of SIDs, not"),
    (lambda client: client.scan("2026-01-31"), "window must be a DateWindow, such as DateWindow"),
    (lambda client: client.archive([ROOM], "a", delete="no"), "delete must be True or False, not 'no'"),
    (
        lambda client: client.archive(JANUARY, "a"),
        "room_sids must be .*: a window of time is a DateWindow, for client.a",
    ),
    (
        lambda client: client.export(JANUARY, "a"),
        "room_sids must be .*: a window of time is a DateWindow, for client.a",
    ),
    (lambda client: client.gather(JANUARY.date()), "room_sids must be .*: a window of time is a DateWindow"),
    (lambda client: client.export("out/", JANUARY), "room_sids must be .*, not 'out/'"),
    (
        lambda client: client.export([ROOM], "a", shard="third"),
        "shard must be .*, the third of 40, not 'third'",
    ),
    (lambda client: client.export([ROOM], "a", shard=3), "shard must be a part such as '3/40', the third of 40, not 3"),
    (lambda client: client.export([ROOM], "a", format="csv"), "format must be 'parquet' or 'jsonl', not 'csv'"),
    (lambda client: client.export([ROOM], None), "destination must be a path, the URL of a store, or a Dest"),
    (lambda client: client.export([ROOM], "ftp://x/y"), "destination cannot be ftp://: give a directory, or an"),
    (lambda client: client.wait_for_recordings([ROOM]), "room_sid must be .*: many rooms are for client.gather"),
    (lambda client: client.wait_for_recordings(ROOM, timeout="600"), "timeout must be a positive number of seconds"),
    (lambda client: client.participants(ROOM, status="gone"), "status must be one of connected, disconnected, rec"),
    (lambda client: client.rooms(status="ended"), "status must be one of in-progress, completed, failed, not 'ended'"),
    (lambda client: client.recordings(ROOM, status=["completed"]), "status must be one of .*, not .'completed'.$"),
    (lambda client: client.account_recordings(media_type="mp3"), "media_type must be one of audio, video, data"),
    (lambda client: client.scan((JANUARY, JANUARY)), "window must be a DateWindow, such as DateWindow"),
    (lambda client: client.download(RECORDING, "a", decryption="key.pem"), r"decryption must be .*, not a str: .*Priv"),
    (lambda client: client.download(RECORDING, ""), "destination is empty: a variable that holds it is"),
    (lambda client: client.archive([ROOM], ""), "destination is empty"),
    (lambda client: client.archive([ROOM], "a", decryption=b"canary"), "decryption must be a Decryption, not a bytes"),
    (lambda client: client.archive([ROOM], "a", retry_failed=3), "retry_failed must be True or False, not 3"),
    (lambda client: client.archive([ROOM], "a", manifest="csv"), "the manifest must be a list .*: put one format into"),
    (lambda client: client.archive([ROOM], "a", manifest=None), "the manifest must be a list of formats, not None"),
    (lambda client: client.archive([ROOM], "a", manifest=["xml"]), "a table's format must be one of jsonl, csv, par"),
    (lambda client: client.archive([ROOM], "a", downloads="8"), r"downloads must be .*: a text, .* with int\(...\)"),
    (lambda client: client.archive([ROOM], "a", progress=print), r"progress must be an ArchiveProgress, .*: for inst"),
    (lambda client: client.archive({ROOM_SID: 1}, "a"), r"room_sids must be .*: give its keys as list\(rooms\), or"),
    (lambda client: client.archive(DateWindow(JANUARY, JANUARY), "a"), "the window is empty: it begins and ends at"),
    (lambda client: client.export(DateWindow(JANUARY, JANUARY), "a"), "the window is empty: it begins and ends at"),
    (
        lambda client: client.scan(DateWindow(JANUARY, JANUARY)),
        "the window is empty: .*, end it a day later",
    ),
    (lambda client: client.export([ROOM], "a", since_last="yes"), "since_last must be True or False, not 'yes'"),
    (
        lambda client: client.export(DateWindow(JANUARY), "a", status="completed"),
        "status is for rooms: of a window, all recordings",
    ),
    (lambda client: client.export([ROOM], "a", limit=-1), "limit must be"),
    (lambda client: client.export([ROOM], "a", identities="yes"), "identities must be True or False, not 'yes'"),
    (lambda client: client.export([ROOM], "a", progress=print), "progress must be an ExportProgress, not <built-in"),
    (lambda client: client.gather({ROOM_SID: 1}), r"room_sids must be .*: give its keys as list\(rooms\), or its"),
    (lambda client: client.stream({"weekly": ROOM}), "room_sids must be .*: give its keys"),
    (
        lambda client: client.wait_for_recordings(ROOM, timeout=timedelta(minutes=1)),
        r"timeout must be .*: give its .total_seconds\(\)",
    ),
    (lambda client: client.archive(ROOM_SID, "a"), "room_sids must be .*: put one room into a list"),
    (lambda client: client.recordings(ROOM, timeout="5"), "timeout must be a number of seconds or a Timeout"),
]
DATA = [
    (lambda: to_json_lines(RECORDING), "records must be an iterable of recordings, .*: put one record into a list"),
    (lambda: to_json_lines(None), "records must be an iterable of recordings, rooms or participants, not None"),
    (lambda: to_json_lines([1]), "records must be an iterable of .*, and one of them is of type int"),
    (lambda: to_json_lines([RECORDING, {"sid": SID}]), "records must be .*, and one of them is of type dict"),
    (lambda: to_json_lines("x"), "records must be .*, and one of them is of type str"),
    (lambda: to_dict([RECORDING]), "model must be a Recording, Room, Participant or PageMeta, not .*: one at a time"),
    (lambda: to_dict({"sid": SID}), "model must be a Recording, Room, Participant or PageMeta, not {'sid'"),
    (lambda: to_dict(None), "model must be a Recording, Room, Participant or PageMeta, not None"),
    (lambda: to_dict(Recording), "model must be a Recording, .*, not <class"),
    (lambda: from_dict({"sid": SID}, Recording), "cls must be the class of a model, .*: the class comes first"),
    (lambda: from_dict("Recording", {}), "cls must be the class of a model, such as Recording, not 'Recording'"),
    (lambda: from_dict(dict, {}), "cls must be the class of a model, such as Recording, not <class 'dict'>"),
    (lambda: from_dict(Recording, RECORDING), "data must be a mapping of JSON values, not a Recording: it is a model"),
    (lambda: RateLimiter("10"), r"max_concurrency must be .*not '10': a text, .*, becomes a number with int\(...\)"),
    (lambda: RateLimiter(reads_per_second="80"), r"reads_per_second must be .*: a text, .* with float\(...\)"),
    (lambda: RateLimiter(reads_per_second=timedelta(1)), r"reads_per_second must be .*: give its .total_seconds\(\)"),
    (lambda: RetryPolicy(base_delay="0.5"), r"base_delay must be .*: a text, .* becomes a number with float\(...\)"),
    (lambda: RetryPolicy(max_delay=timedelta(seconds=5)), r"max_delay must be .*: give its .total_seconds\(\)"),
    (lambda: Timeout(read=timedelta(seconds=5)), r"timeout: read must be .*: give its .total_seconds\(\)"),
    (lambda: Bounds(max_pages="many"), "max_pages must be an integer from 1, not 'many'$"),
    (lambda: Size("640", 360), r"width must be an even number .*: a text, .* becomes a number with int\(...\)"),
]
CREDENTIALS = [
    (lambda: Credentials(AUTH_TOKEN, ACCOUNT_SID), "the account SID must be .*: it comes first, then the auth token"),
    (lambda: Credentials(ACCOUNT_SID, ACCOUNT_SID), "the secret is the SID of an account: the SID comes before"),
    (lambda: Credentials(ACCOUNT_SID, KEY_SID), "the secret is the SID of an API key: the SID comes before its secret"),
    (lambda: Credentials(f"{ACCOUNT_SID}\n", AUTH_TOKEN), "the account SID must be .*: there is white space around it"),
    (lambda: Credentials.api_key(KEY_SID, ACCOUNT_SID, AUTH_TOKEN), r"the account SID must be .*: the order is Cred"),
    (lambda: Credentials.api_key(ACCOUNT_SID, AUTH_TOKEN, KEY_SID), r"the API key SID must be .*: the order is Cred"),
    (lambda: Credentials.api_key(ACCOUNT_SID, f" {KEY_SID}", AUTH_TOKEN), "the API key SID must be .*: there is white"),
    (lambda: Credentials.api_key(ACCOUNT_SID, KEY_SID, KEY_SID), "the secret is the SID of an API key"),
]
OPTIONS = [
    ({"concurrency": 5}, r": the client's limiter bounds that, as RateLimiter\(max_concurrency=...\)"),
    ({"max_workers": "5"}, ": the client's limiter bounds that"),
    ({"stauts": "completed"}, ": did you mean 'status'?"),
    ({"date_created_since": JANUARY}, ": did you mean 'date_created_after'?"),
    ({"page": 1}, ": did you mean 'page_size'?"),
    ({"callback": print}, ": its options are date_created_after, date_created_before, limit, page_size, source_sid"),
]
SIMULATORS = [
    ({"rooms": "3"}, r"rooms must be an integer from 0 to .*, not '3': a text, .* becomes a number with int\(...\)"),
    ({"rooms": -1}, "rooms must be an integer from 0 to"),
    ({"recordings_per_room": "2"}, "recordings_per_room must be an integer from 0 to .*, or two of them, not '2'"),
    ({"recordings_per_room": (5, 1)}, "recordings_per_room must be a number, or the smallest and the largest"),
    ({"recordings_per_room": (1, 2, 3)}, "recordings_per_room must be a number, or the smallest and the largest"),
    ({"recordings_per_room": None}, "recordings_per_room must be an integer from 0"),
    ({"media_size": "1MB"}, "media_size must be an integer from 0, or two of them, not '1MB'"),
    ({"latency": "1"}, r"latency must be a number of seconds from 0, not '1': a text, .* with float\(...\)"),
    ({"latency": timedelta(seconds=1)}, r"latency must be .*: give its .total_seconds\(\)"),
    ({"latency": (1, 2, 3)}, "latency must be a number of seconds, or two of them"),
    ({"reads_per_second": 0}, "reads_per_second must be positive"),
    ({"concurrency_limit": "5"}, "concurrency_limit must be an integer from 1, or None, not '5'"),
    ({"media_response": "redirect"}, "media_response must be 'json', 'location' or 'ok', not 'redirect'"),
]
MADE_FAULTS = [
    (lambda: faults.Respond("503"), r"status must be an integer from 200 to 599, not '503': a text, .* with int"),
    (lambda: faults.Respond(99), "status must be an integer from 200 to 599, not 99"),
    (lambda: faults.Respond(503, "busy"), r"body must be bytes, not 'busy': encode the text"),
    (lambda: faults.Respond(503, headers={"Retry-After": 5}), "headers must be a mapping of texts to texts"),
    (lambda: faults.Respond(503, headers="Retry-After: 5"), "headers must be a mapping of texts to texts"),
    (lambda: faults.Respond(503, content_type=None), "content_type must be a text, not None"),
    (lambda: faults.StallHeaders("5"), "seconds must be a number of seconds from 0, not '5'"),
    (lambda: faults.StallBody(10, None), "seconds must be a number of seconds from 0, not None"),
    (lambda: faults.Truncate(-1), "after must be an integer from 0, not -1"),
    (lambda: faults.ResetMidBody("half"), "after must be an integer from 0, not 'half'"),
    (lambda: faults.SlowDrip(0), "bytes_per_second must be positive"),
    (lambda: faults.Replace(b"{}"), "function must be a function"),
]
DATES = [
    ("2026-01-31", r"must be a datetime, .*: parse it, with its zone, as datetime.fromisoformat\('2026-01-31T12:00"),
    (date(2026, 1, 31), r"must be a datetime, .*datetime.combine\(value, time.min, tzinfo=UTC\)"),
    (timedelta(days=1), r"must be a datetime, .*: subtract it from now, as datetime.now\(UTC\) - value"),
    (1769860800, r"must be a datetime, .*: datetime.fromtimestamp\(value, UTC\)"),
    (
        datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None),
        r"must have a time zone: .* is naive. For UTC, use .replace\(tzinfo=datetime.UTC\)",
    ),
]


@pytest.mark.parametrize(("use", "sentence"), ARGUMENTS, ids=[sentence[:40] for _, sentence in ARGUMENTS])
async def test_an_argument_of_the_wrong_kind_is_refused(client: RecordingsClient, use: Use, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        result = use(client)
        await result


def by_sentence(value: object) -> str | None:
    return value[:60] if isinstance(value, str) else None


@pytest.mark.parametrize(("use", "sentence"), [*DATA, *MADE_FAULTS], ids=by_sentence)
def test_what_cannot_be_made_of_these_arguments(use: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        use()


@pytest.mark.parametrize(("use", "sentence"), CREDENTIALS, ids=by_sentence)
def test_credentials_in_the_wrong_order_are_refused_and_not_shown(use: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}") as refused:
        use()
    assert AUTH_TOKEN not in str(refused.value)


@pytest.mark.parametrize(("options", "sentence"), SIMULATORS, ids=by_sentence)
def test_a_simulator_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        Simulator(**options)


@pytest.mark.parametrize("name", ["gather", "as_completed", "stream"])
@pytest.mark.parametrize(("options", "sentence"), OPTIONS, ids=by_sentence)
async def test_an_option_of_many_rooms_that_does_not_exist(
    client: RecordingsClient, name: str, options: dict[str, Any], sentence: str
) -> None:
    (wrong,) = options
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument '{wrong}'{sentence}"):
        await getattr(client, name)([ROOM], **options)


@pytest.mark.parametrize("arguments", [(RECORDING,), (RECORDING, SID, "media/"), (ROOM, SID, "media/", "more")])
async def test_a_download_says_what_it_takes(client: RecordingsClient, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"^download\(\) takes a Recording and a destination, or a room, the"):
        await client.download(*arguments)


@pytest.mark.parametrize(("value", "sentence"), DATES, ids=by_name)
async def test_a_date_of_another_kind_is_refused(client: RecordingsClient, value: Any, sentence: str) -> None:
    for name in ("date_created_after", "date_created_before"):
        for use in (client.rooms, client.account_recordings):
            with pytest.raises(InvalidArgumentError, match=f"^{name} {sentence}"):
                use(**{name: value})
    with pytest.raises(InvalidArgumentError, match=f"^after {sentence}"):
        DateWindow(value)


# Uses


def plain_for(values: Any) -> None:
    for _ in values:
        pass


async def enter(values: Any) -> None:
    async with values:
        pass


def enter_plainly(values: Any) -> None:
    with values:
        pass


async def wait_for(values: Any) -> None:
    await values


async def take_next(values: Any) -> None:
    await anext(values)


async def run_as_a_task(values: Any) -> None:
    asyncio.create_task(values)  # noqa: RUF006  it is refused


async def unpack(values: Any) -> None:
    await asyncio.gather(*values)


PAGER_USES = [
    (plain_for, "read a Pager with 'async for', or 'await' it"),
    (list, "read a Pager with 'async for'"),
    (sorted, "read a Pager with 'async for'"),
    (lambda pager: pager[0], "read a Pager with 'async for'"),
    (lambda pager: pager[:10], "read a Pager with 'async for'"),
    (lambda pager: RECORDING in pager, "read a Pager with 'async for'"),
    (unpack, "read a Pager with 'async for'"),
    (len, r"a Pager does not know its records before they are fetched: len\(await pager\)"),
    (bool, r"a Pager does not know its records before they are fetched: .*await pager.first\(\)"),
    (reversed, "a Pager does not know its records"),
    (take_next, r"a Pager starts from the beginning each time: anext\(aiter\(pager\)\), or await pager.first\(\)"),
    (enter, "a Pager is no context manager: read it with 'async for'"),
    (enter_plainly, "a Pager is no context manager"),
    (run_as_a_task, "a coroutine was expected, got <Pager of .*: fetch it with 'async for' or 'await'>"),
]
STREAM_USES = [
    (plain_for, "read this with 'async for', not with 'for' or an index"),
    (list, "read this with 'async for'"),
    (lambda stream: stream[0], "read this with 'async for'"),
    (len, "how many there are is not known before they are fetched"),
    (wait_for, "there is nothing to await here: use 'async for' without 'await'"),
    (enter, r"this is no context manager: iterate it .*contextlib.aclosing"),
    (enter_plainly, "this is no context manager"),
]
STREAMS: list[Use] = [
    lambda client: client.stream([ROOM]),
    lambda client: client.as_completed([ROOM]),
    lambda client: client.recordings(ROOM).pages(),
    lambda client: client.scan(DateWindow(datetime(2026, 1, 1, tzinfo=UTC))),
]


async def check_use(use: Callable[[Any], Any], values: object, sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}"):
        result = use(values)
        if asyncio.iscoroutine(result):
            await result


@pytest.mark.parametrize(("use", "sentence"), PAGER_USES)
async def test_a_pager_that_is_used_as_something_else(client: RecordingsClient, use: Any, sentence: str) -> None:
    await check_use(use, client.recordings(ROOM_SID), sentence)


@pytest.mark.parametrize(("use", "sentence"), STREAM_USES)
@pytest.mark.parametrize("make", STREAMS, ids=["stream", "as_completed", "pages", "scan"])
async def test_a_stream_that_is_used_as_something_else(
    client: RecordingsClient, make: Use, use: Any, sentence: str
) -> None:
    await check_use(use, make(client), sentence)


async def test_a_stream_can_be_closed_and_stepped_through_like_the_generator_that_it_is(
    client: RecordingsClient,
) -> None:
    stream = client.stream([ROOM])
    assert isinstance(stream, AsyncGenerator)
    assert bool(stream)
    await stream.aclose()
    assert await anext(stream, None) is None
    with pytest.raises(ValueError, match="thrown"):
        await client.stream([ROOM]).athrow(ValueError("thrown"))


async def test_a_client_that_is_used_as_something_else(client: RecordingsClient) -> None:
    await check_use(enter_plainly, client, "use 'async with' with a RecordingsClient, not 'with'")
    await check_use(wait_for, client, "there is nothing to await in making a client: async with RecordingsClient")


# Callbacks and the simulator

CALLBACKS: list[tuple[dict[str, Any], str]] = [
    (
        {"url": URL("https://app.example/")},
        r"url must be text, not URL\(.*: for the URL of a request, str\(request.url",
    ),
    ({"url": None}, "url must be text, not None"),
    ({"body": "RoomSid=canary"}, r"body must be the bytes of the body, unchanged, as 'await request.body\(\)' .* str$"),
    ({"body": {"RoomSid": "canary"}}, "body must be the bytes of the body, .*, not dict$"),
    ({"body": None}, "body must be the bytes of the body, .*, not NoneType$"),
    ({"headers": "canary"}, "headers must be all headers of the request, as a mapping, not str$"),
    ({"headers": None}, "headers must be all headers of the request, as a mapping, not NoneType$"),
    ({"headers": dict}, "headers must be all headers of the request"),
    ({"auth_token": None}, "auth_token must be the account's auth token, or a list of them, and not empty"),
    ({"auth_token": ""}, "auth_token must be the account's auth token"),
    ({"auth_token": []}, "auth_token must be the account's auth token"),
    ({"auth_token": ["canary", None]}, "auth_token must be the account's auth token"),
    ({"auth_token": b"canary"}, "auth_token must be the account's auth token"),
    ({"auth_token": Credentials(ACCOUNT_SID, "canary")}, "auth_token must be the account's auth token"),
]
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"fault": 503}, r"fault must be a fault, not 503: for instance faults.Respond\(503\)"),
    ({"fault": "reset"}, "fault must be a fault, not 'reset': for instance faults.Respond"),
    ({"fault": faults.Reset}, "fault must be a fault, not <class"),
    ({"fault": None}, "fault must be a fault, not None"),
    ({"fault": faults.Reset(), "times": "2"}, "times must be an integer from 1, or None, not '2'"),
    ({"fault": faults.Reset(), "times": 0}, "times must be an integer from 1, or None, not 0"),
]


@pytest.mark.parametrize(("changed", "sentence"), CALLBACKS, ids=lambda value: str(value)[:40])
def test_a_callback_of_another_kind_is_refused_and_not_shown(changed: dict[str, Any], sentence: str) -> None:
    arguments = {"url": "https://app.example/", "body": b"", "headers": {}, "auth_token": AUTH_TOKEN}
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}") as refused:
        webhooks.receive(**(arguments | changed))
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(("arguments", "sentence"), FAULTS, ids=lambda value: str(value)[:40])
def test_what_is_no_fault_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{sentence}"):
        Simulator().inject(**arguments)


# Where it runs


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.__aenter__(),
        lambda client: client.recordings(ROOM_SID).to_list(),
        lambda client: aiter(client.recordings(ROOM_SID)).__anext__(),
        lambda client: client.recordings(ROOM_SID).pages().__anext__(),
        lambda client: client.gather([ROOM_SID]),
        lambda client: client.stream([ROOM_SID]).__anext__(),
        lambda client: client.as_completed([ROOM_SID]).__anext__(),
        lambda client: client.recording(RECORDING),
        lambda client: client.delete(RECORDING),
        lambda client: client.signed_media_url(RECORDING),
        lambda client: client.download(RECORDING, "media/"),
        lambda client: client.archive([ROOM_SID], "archive/"),
    ],
)
def test_without_asyncio_as_under_trio_a_sentence_says_so(credentials: Credentials, use: Use) -> None:
    coroutine = use(RecordingsClient(credentials))
    # As another library for asynchronous programs would run it.
    with pytest.raises(ConfigurationError, match=r"^no asyncio event loop is running: .*; under trio, in trio_asyncio"):
        coroutine.send(None)


def test_a_client_that_was_not_used_closes_without_an_event_loop(credentials: Credentials) -> None:
    with pytest.raises(StopIteration):
        RecordingsClient(credentials).aclose().send(None)


async def test_after_it_is_closed_a_client_says_so(client: RecordingsClient) -> None:
    pager = client.recordings(ROOM_SID)
    await client.aclose()
    for use in (pager.to_list, lambda: client.gather([ROOM_SID]), lambda: client.delete(RECORDING)):
        with pytest.raises(ClientClosedError, match=r"^the client is closed: create a new one"):
            await use()


def test_no_sentence_ends_with_a_full_stop_or_has_a_line_break() -> None:
    for _, sentence in [*SETTINGS, *ROOMS, *RECORDINGS, *MANY, *ARGUMENTS, *DATA, *DATES, *PAGER_USES, *STREAM_USES]:
        assert not re.search(r"[^.]\.$|\n", sentence)
