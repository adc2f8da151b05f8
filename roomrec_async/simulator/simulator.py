"""The simulated API on a real socket: quotas, latency, faults and statistics around its operations."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, Literal, TypeAlias, cast

import aiohttp
from aiohttp import web

from roomrec_async.client import RecordingsClient
from roomrec_async.config import RetryPolicy, Timeout
from roomrec_async.credentials import Credentials
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.protocols import Limiter

from .account import LazyRoomSids, World
from .api import Api
from .errors import RefusedError, method_not_allowed, not_found, too_many_requests, unauthenticated
from .http_server import Handler, ReceivingServer
from .media_content import private_key_pem
from .media_store import MediaStore
from .parameters import MediaParameters
from .sliding_window import SlidingWindow

MediaAnswer: TypeAlias = Literal["json", "location", "ok"]

_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "ETag, Twilio-Request-Id",
}


class Simulator(ReceivingServer):
    """The recordings API with an account of made-up rooms, on a loopback socket.

    ``async with`` runs it in the running event loop, ``with`` in a thread of its own. Its settings are attributes of
    the same names, and may be changed while it runs. It may be started again after it has stopped.

    Args:
        rooms: how many rooms the account has; a million cost as little as one.
        recordings_per_room: how many recordings a list without a filter shows for each room, or the smallest and the
            largest number. Deleted ones come on top.
        seed: the same seed gives the same account, credentials included.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        reads_per_second: GET requests admitted within any second; None for no bound.
        writes_per_second: other requests admitted within any second; None for no bound.
        concurrency_limit: requests in flight before further ones are refused, which the real API does not publish;
            None for no bound.
        latency: seconds that every admitted request takes, or the shortest and the longest time.
        retry_after: the ``Retry-After`` of a 429: seconds or an HTTP date. By default there is none.
        media_size: how many bytes the media of each recording have: a number, or the smallest and the largest number.
            By default as many as tracks of their length have, up to gigabytes.
        media_answer: how ``Media`` says where they are: ``json``, a 302 with a JSON body; ``location``, a 302 with a
            ``Location`` header; ``ok``, a 200 with the JSON body.
        second_delete: the status of deleting what is deleted, which the provider does not document: 404 or 204.

    Raises:
        InvalidArgumentError: a number is out of range.

    Example:
        >>> async with Simulator(rooms=3, seed=7) as simulator, simulator.client() as client:
        ...     everything = await client.gather(simulator.room_sids)
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
        media_answer: MediaAnswer = "json",
        second_delete: int = HTTPStatus.NOT_FOUND,
    ) -> None:
        super().__init__(host, port)
        if second_delete not in (HTTPStatus.NOT_FOUND, HTTPStatus.NO_CONTENT):
            raise InvalidArgumentError(f"second_delete must be 404 or 204, not {second_delete}")
        self.world = World(seed, rooms, recordings_per_room, media_size)
        self.store = MediaStore(self.world, host)
        self.reads_per_second = reads_per_second
        self.writes_per_second = writes_per_second
        self.concurrency_limit = concurrency_limit
        self.latency = latency
        self.retry_after = retry_after
        self.media_answer: MediaAnswer = media_answer
        self.second_delete = second_delete
        self._random = random.Random(seed)
        self._reads, self._writes = SlidingWindow(), SlidingWindow()
        self._authorizations = {
            credentials.authorization for credentials in (self.credentials, self.api_key_credentials)
        }

    @property
    def credentials(self) -> Credentials:
        """The account's SID and auth token."""
        return self.world.credentials

    @property
    def api_key_credentials(self) -> Credentials:
        """An API key of the account."""
        return self.world.api_key_credentials

    @property
    def room_sids(self) -> LazyRoomSids:
        """The SIDs of the account's rooms, oldest first, whatever their status."""
        return self.world.room_sids

    def recordings(self, room_sid: str, status: str | None = None) -> Iterator[dict[str, object]]:
        """What a complete list of a room must give: the records as they are served, oldest first.

        Args:
            room_sid: the room.
            status: only recordings with this status; by default all but the deleted ones.

        Raises:
            LookupError: the account has no such room.
            RuntimeError: the simulator does not run, so that the URLs in the records are not known.
        """
        try:
            return Api(self.world, self.base_url).recordings(room_sid, status)
        except RefusedError:
            raise LookupError(room_sid) from None

    def media(self, recording_sid: str) -> Iterator[bytes]:
        """What a download of a recording must give, decrypted, in pieces.

        Raises:
            LookupError: the account has no such recording, or no media of it.
        """
        found = self.world.find_recording(recording_sid)
        if found is None or not found[0].has_media(found[1]):
            raise LookupError(recording_sid)
        content = self.store.content(*found)
        return content.pieces(0, content.size)

    @property
    def private_key_pem(self) -> bytes:
        """The key that decrypts the media of those rooms whose recordings have an ``encryption_key``."""
        return private_key_pem()

    def client(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
    ) -> RecordingsClient:
        """A client of this account, to be closed by the caller; the arguments are those of the client."""
        return RecordingsClient(
            self.credentials,
            session=session,
            base_url=self.base_url,
            limiter=limiter,
            retry=retry,
            timeout=timeout,
        )

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._receive])
        for path, handler in (
            ("/v1/Rooms", self._list_rooms),
            ("/v1/Rooms/{sid}", self._fetch_room),
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

    async def _list_recordings(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_recordings(request.match_info["room_sid"], request.query))

    async def _fetch_recording(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_recording(request.match_info["room_sid"], request.match_info["sid"]))

    async def _list_account_recordings(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_account_recordings(request.query))

    async def _fetch_account_recording(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_account_recording(request.match_info["sid"]))

    async def _delete_recording(self, request: web.Request) -> web.Response:
        room_sid, sid = request.match_info.get("room_sid"), request.match_info["sid"]
        self._api.delete_recording(room_sid, sid, request.path, again=self.second_delete)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _locate_media(self, request: web.Request) -> web.Response:
        parameters = MediaParameters.parse(request.query)
        room, index = self._api.find_media(request.match_info.get("room_sid"), request.match_info["sid"], request.path)
        url = self.store.signed_url(room, index, parameters.ttl, parameters.disposition)
        if self.media_answer == "location":
            return web.Response(status=HTTPStatus.FOUND, headers={"Location": url})
        found = _ok(json.dumps({"redirect_to": url}).encode())
        if self.media_answer == "json":
            found.set_status(HTTPStatus.FOUND)
        return found

    @property
    def _api(self) -> Api:
        return Api(self.world, self.base_url)

    async def _normal_answer(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:
        # As many as are in flight now: a refusal, too, says how many it met.
        concurrent = self.stats.in_flight
        try:
            response = await self._admitted_answer(request, handler)
        except RefusedError as refusal:
            response = _refused(refusal)
        duration = asyncio.get_running_loop().time() - arrived_at
        response.headers.update(_CORS)
        response.headers["Twilio-Concurrent-Requests"] = str(concurrent)
        response.headers["Twilio-Request-Id"] = f"RQ{self._random.getrandbits(128):032x}"
        response.headers["Twilio-Request-Duration"] = f"{duration:.3f}"
        return response

    async def _admitted_answer(self, request: web.Request, handler: Handler) -> web.Response:
        self._check_credentials(request)
        self._check_quotas(request)
        await self._be_slow()
        try:
            return cast("web.Response", await handler(request))
        except web.HTTPMethodNotAllowed as error:
            raise method_not_allowed(error.headers["Allow"]) from None
        except web.HTTPNotFound:
            raise not_found(request.path) from None

    def _check_credentials(self, request: web.Request) -> None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if f"{scheme.capitalize()} {encoded.strip()}" not in self._authorizations:
            raise unauthenticated()

    def _check_quotas(self, request: web.Request) -> None:
        reading = request.method == "GET"
        window, rate = (self._reads, self.reads_per_second) if reading else (self._writes, self.writes_per_second)
        crowded = self.concurrency_limit is not None and self.stats.in_flight > self.concurrency_limit
        if crowded or not window.admits(asyncio.get_running_loop().time(), rate):
            self.stats.refused += 1
            raise too_many_requests(self.retry_after)

    async def _be_slow(self) -> None:
        latency = self.latency
        seconds = self._random.uniform(*latency) if isinstance(latency, tuple) else latency
        if seconds > 0:
            await asyncio.sleep(seconds)


def _ok(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _refused(refusal: RefusedError) -> web.Response:
    headers = {**refusal.headers, "Content-Type": "application/json"}
    return web.Response(status=refusal.status, body=refusal.body, headers=headers)
