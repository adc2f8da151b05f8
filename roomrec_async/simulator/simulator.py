"""The simulator: the API on a socket, with its quotas, its latency, faults and statistics."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, Literal, TypeAlias, cast, get_args

import aiohttp
from aiohttp import web

from roomrec_async._validate import MAX_RATE, check_choice, check_integer, check_rate, check_seconds, refusal
from roomrec_async.client import RecordingsClient
from roomrec_async.config import RetryPolicy, Timeout
from roomrec_async.credentials import Credentials
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.protocols import Limiter

from .account import Account
from .api import Api
from .errors import ServiceError, method_not_allowed, not_found, too_many_requests, unauthenticated
from .http_server import Handler, HttpServer
from .media_content import private_key_pem
from .media_store import MediaStore
from .parameters import MediaParameters
from .sids import LazyRoomSids
from .sliding_window import SlidingWindow

MediaResponse: TypeAlias = Literal["json", "location", "ok"]

# Every response of the API has these, errors included.
_CORS_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "ETag, Twilio-Request-Id",
}


class Simulator(HttpServer):
    """The recordings API with an account of made-up rooms, on a loopback socket.

    ``async with`` runs it in the running event loop, ``with`` in a thread of its own. Its settings are attributes of
    the same names, and may be changed while it runs. It may be started again after it has stopped.

    Args:
        rooms: number of rooms of the account; a million cost as little as one.
        recordings_per_room: number of recordings that a list without a filter shows for each room, or the smallest
            and the largest number. Deleted ones come on top.
        seed: the same seed gives the same account, credentials included.
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
        reads_per_second: maximum number of GET requests within any second; None for no limit.
        writes_per_second: maximum number of other requests within any second; None for no limit.
        concurrency_limit: maximum number of requests in flight; further ones are refused. The real API does not
            publish its limit. None for no limit.
        latency: seconds that every admitted request takes, or the shortest and the longest time.
        retry_after: the ``Retry-After`` of a 429: seconds or an HTTP date. By default there is none.
        media_size: number of bytes of each recording's media, or the smallest and the largest number. By default as
            many as tracks of their length have, up to gigabytes.
        media_response: how ``Media`` responds with the URL of the media: ``json``, a 302 with a JSON body;
            ``location``, a 302 with a ``Location`` header; ``ok``, a 200 with the JSON body.
        second_delete: the status for deleting a deleted recording, which the provider does not document: 404 or 204.

    Attributes:
        account: the account.
        store: the object store with the media.
        stats: counts of connections, requests and responses of the API; the store has its own.
        requests: the last 10,000 requests of the API, oldest first.

    Raises:
        InvalidArgumentError: a number is out of range.

    Example:
        >>> async with Simulator(rooms=3, seed=7) as simulator, simulator.client() as client:
        ...     recordings = await client.gather(simulator.room_sids)
    """

    def __init__(
        self,
        rooms: int = 20,
        recordings_per_room: int | tuple[int, int] = (0, 120),
        seed: int = 0,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reads_per_second: float | None = 80,
        writes_per_second: float | None = 20,
        concurrency_limit: int | None = 100,
        latency: float | tuple[float, float] = 0.0,
        retry_after: str | None = None,
        media_size: int | tuple[int, int] | None = None,
        media_response: MediaResponse = "json",
        second_delete: int = HTTPStatus.NOT_FOUND,
    ) -> None:
        super().__init__(host, port)
        _check_quotas(reads_per_second, writes_per_second, concurrency_limit)
        check_choice("media_response", media_response, get_args(MediaResponse))
        if second_delete not in (HTTPStatus.NOT_FOUND, HTTPStatus.NO_CONTENT):
            raise InvalidArgumentError(f"second_delete must be 404 or 204, not {second_delete}")
        self.account: Account = Account(seed, rooms, recordings_per_room, media_size)
        self.store: MediaStore = MediaStore(self.account, host)
        self.reads_per_second = reads_per_second
        self.writes_per_second = writes_per_second
        self.concurrency_limit = concurrency_limit
        self.latency: float | tuple[float, float] = _check_latency(latency)
        self.retry_after = retry_after
        self.media_response: MediaResponse = media_response
        self.second_delete = second_delete
        # Draws latencies and request ids.
        self._random = random.Random(seed)
        self._reads = SlidingWindow()
        self._writes = SlidingWindow()
        # The Authorization headers that are accepted.
        self._authorizations = {
            credentials.authorization for credentials in (self.credentials, self.api_key_credentials)
        }

    @property
    def credentials(self) -> Credentials:
        """SID and auth token of the account."""
        return self.account.credentials

    @property
    def api_key_credentials(self) -> Credentials:
        """API key of the account."""
        return self.account.api_key_credentials

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which ``from_env()`` makes a client of the simulator.

        Empty ones are the same as unset: an API key would be preferred to the auth token.
        """
        # The simulator is on this machine: no proxy leads to it.
        no_proxy = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), self._host)))
        return {
            "TWILIO_ACCOUNT_SID": self.credentials.account_sid,
            "TWILIO_AUTH_TOKEN": self.credentials.password,
            "TWILIO_API_KEY": "",
            "TWILIO_API_KEY_SID": "",
            "TWILIO_API_SECRET": "",
            "TWILIO_API_KEY_SECRET": "",
            "ROOMREC_BASE_URL": self.base_url,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }

    @property
    def room_sids(self) -> LazyRoomSids:
        """SIDs of the account's rooms, oldest first, whatever their status."""
        return self.account.room_sids

    def recordings(self, room_sid: str, status: str | None = None) -> Iterator[dict[str, object]]:
        """Return the records that a complete list of a room must have, as they are served, oldest first.

        Args:
            room_sid: the room.
            status: only recordings with this status; None for all but the deleted ones.

        Raises:
            LookupError: the account has no such room.
            RuntimeError: the simulator does not run, so that the URLs in the records are not known.
        """
        try:
            return self._api.recordings(room_sid, status)
        except ServiceError:
            raise LookupError(room_sid) from None

    def media(self, recording_sid: str) -> Iterator[bytes]:
        """Return the bytes that a download of a recording must have, decrypted, in pieces.

        Raises:
            LookupError: the account has no such recording, or the provider stores no media of it.
        """
        found = self.account.find_recording(recording_sid)
        if found is None or not found[0].has_media(found[1]):
            raise LookupError(recording_sid)
        content = self.store.content(*found)
        return content.pieces(0, content.size)

    @property
    def private_key_pem(self) -> bytes:
        """Private key, in PEM, that decrypts the media of recordings with an ``encryption_key``."""
        return private_key_pem()

    def client(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
    ) -> RecordingsClient:
        """Return a client of this account, to be closed by the caller; the arguments are those of the client."""
        return RecordingsClient(
            self.credentials,
            session=session,
            base_url=self.base_url,
            limiter=limiter,
            retry=retry,
            timeout=timeout,
        )

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._handle_request])
        for path, handler in (
            ("/v1/Rooms", self._list_rooms),
            ("/v1/Rooms/{sid}", self._fetch_room),
            ("/v1/Rooms/{room_sid}/Participants", self._list_participants),
            ("/v1/Rooms/{room_sid}/Recordings", self._list_recordings),
            ("/v1/Rooms/{room_sid}/Recordings/{sid}", self._fetch_recording),
            ("/v1/Rooms/{room_sid}/Recordings/{sid}/Media", self._locate_media),
            ("/v1/Recordings", self._list_account_recordings),
            ("/v1/Recordings/{sid}", self._fetch_account_recording),
            ("/v1/Recordings/{sid}/Media", self._locate_media),
        ):
            app.router.add_get(path, handler, allow_head=False)
        for path in ("/v1/Rooms/{room_sid}/Recordings/{sid}", "/v1/Recordings/{sid}"):
            app.router.add_delete(path, self._delete_recording)
        return app

    async def _start(self) -> None:
        # First, because responses of the API contain its URL.
        await self.store._start()
        try:
            await super()._start()
        except BaseException:
            await self.store._stop()
            raise

    async def _stop(self) -> None:
        await super()._stop()
        await self.store._stop()

    async def _list_rooms(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_rooms(request.query))

    async def _fetch_room(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_room(request.match_info["sid"]))

    async def _list_participants(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_participants(request.match_info["room_sid"], request.query))

    async def _list_recordings(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_recordings(request.match_info["room_sid"], request.query))

    async def _fetch_recording(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_recording(request.match_info["room_sid"], request.match_info["sid"]))

    async def _list_account_recordings(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_account_recordings(request.query))

    async def _fetch_account_recording(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_account_recording(request.match_info["sid"]))

    async def _delete_recording(self, request: web.Request) -> web.Response:
        room_sid = request.match_info.get("room_sid")
        sid = request.match_info["sid"]
        self._api.delete_recording(room_sid, sid, request.path, second_delete=self.second_delete)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _locate_media(self, request: web.Request) -> web.Response:
        parameters = MediaParameters.parse(request.query)
        room, index = self._api.find_media(request.match_info.get("room_sid"), request.match_info["sid"], request.path)
        url = self.store.signed_url(room, index, parameters.ttl, parameters.disposition)
        if self.media_response == "location":
            return web.Response(status=HTTPStatus.FOUND, headers={"Location": url})

        response = _ok(json.dumps({"redirect_to": url}).encode())
        if self.media_response == "json":
            response.set_status(HTTPStatus.FOUND)
        return response

    @property
    def _api(self) -> Api:
        return Api(self.account, self.base_url)

    async def _respond(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:
        # Read before anything is awaited, so that a refused request, too, reports how many it found in flight.
        concurrent_requests = self.stats.in_flight
        try:
            self._check_credentials(request)
            self._check_quotas(request)
            await self._simulate_latency()
            response = await _call(handler, request)
        except ServiceError as error:
            response = _error_response(error)

        duration = asyncio.get_running_loop().time() - arrived_at
        response.headers.update(_CORS_HEADERS)
        response.headers["Twilio-Concurrent-Requests"] = str(concurrent_requests)
        response.headers["Twilio-Request-Id"] = f"RQ{self._random.getrandbits(128):032x}"
        response.headers["Twilio-Request-Duration"] = f"{duration:.3f}"
        return response

    def _check_credentials(self, request: web.Request) -> None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if f"{scheme.capitalize()} {encoded.strip()}" not in self._authorizations:
            raise unauthenticated()

    def _check_quotas(self, request: web.Request) -> None:
        window = self._writes
        rate = self.writes_per_second
        if request.method == "GET":
            window = self._reads
            rate = self.reads_per_second

        is_crowded = self.concurrency_limit is not None and self.stats.in_flight > self.concurrency_limit
        if is_crowded or not window.try_acquire(asyncio.get_running_loop().time(), rate):
            self.stats.refused += 1
            raise too_many_requests(self.retry_after)

    async def _simulate_latency(self) -> None:
        seconds = self._random.uniform(*self.latency) if isinstance(self.latency, tuple) else self.latency
        if seconds > 0:
            await asyncio.sleep(seconds)


async def _call(handler: Handler, request: web.Request) -> web.Response:
    """Return a handler's response; for unknown paths and methods, raise the API's errors instead of aiohttp's."""
    try:
        return cast("web.Response", await handler(request))
    except web.HTTPMethodNotAllowed as error:
        raise method_not_allowed(error.headers["Allow"]) from None
    except web.HTTPNotFound:
        raise not_found(request.path) from None


def _ok(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _error_response(error: ServiceError) -> web.Response:
    headers = {**error.headers, "Content-Type": "application/json"}
    return web.Response(status=error.status, body=error.body, headers=headers)


def _check_quotas(reads: float | None, writes: float | None, concurrency: int | None) -> None:
    """Raise InvalidArgumentError if a quota is not a positive number or None."""
    for name, rate in (("reads_per_second", reads), ("writes_per_second", writes)):
        if rate is not None:
            check_rate(name, rate, maximum=MAX_RATE)
    if concurrency is not None:
        check_integer("concurrency_limit", concurrency, minimum=1, alternative="or None")


def _check_latency(latency: float | tuple[float, float]) -> float | tuple[float, float]:
    """Return the seconds that requests take, or the shortest and the longest time.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(latency, tuple):
        return check_seconds("latency", latency)
    for seconds in latency:
        check_seconds("latency", seconds)
    match latency:
        case [shortest, longest]:
            return shortest, longest
    raise InvalidArgumentError(refusal("latency", "a number of seconds, or two of them", latency))
