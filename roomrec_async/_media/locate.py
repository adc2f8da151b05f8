"""One recording's media: where they are, and how they get here whole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import attrs
from multidict import CIMultiDictProxy
from yarl import URL

from roomrec_async._api.codec import decode_media_location
from roomrec_async._api.params import Parameters, media_path, query_string
from roomrec_async._api.urls import check_media_url
from roomrec_async._http.stream import ResponseStream
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async._text import safe_repr
from roomrec_async.config import Timeout
from roomrec_async.errors import (
    APIError,
    MediaError,
    NotFoundError,
    PermissionDeniedError,
    RoomRecError,
    TransportError,
    VerificationError,
)
from roomrec_async.events import Operation, OperationName
from roomrec_async.models import MediaType, Recording

_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")
# Media that are not there yet are asked for again after so many seconds, at the most.
_ASKED_AGAIN: Final = 10.0
# A connection that brought so many bytes before it broke was worth its try.
_WORTH_A_TRY: Final = 2**16


def media_name(recording: Recording) -> str:
    """The name of a recording's file, such as ``RT....mkv``: from its SID, never from what a participant typed."""
    extension = recording.container_format or ("mkv" if recording.type is MediaType.VIDEO else "mka")
    return f"{recording.sid}.{extension}" if _EXTENSION.fullmatch(extension) else str(recording.sid)


def is_encrypted(headers: Mapping[str, str]) -> bool:
    """Whether the media that came with these response headers are encrypted."""
    return "x-amz-meta-x-amz-key" in headers


@attrs.frozen
class Media:
    """One recording's media, and how they are asked for.

    Args:
        of: the method of the client that wants them.
        transport: what sends.
        recording: the recording; its SIDs lead to the media.
        wait: for how many seconds to wait for media that are not there yet.
        asking: how long asking for their URL may take.
        reading: how long connecting and each read may take.

    Raises:
        InvalidArgumentError: the recording has no SID, or a malformed one.
    """

    of: OperationName
    transport: Transport
    recording: Recording
    wait: float
    asking: Timeout
    reading: Timeout
    operation: Operation = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "operation", Operation(self.of, media_path(self.recording)))

    @property
    def path(self) -> str:
        """Where their URL is to be had."""
        return self.operation.path

    @property
    def name(self) -> str:
        """The name of their file."""
        return media_name(self.recording)

    @property
    def size(self) -> int | None:
        """How many bytes they have, as the service says."""
        return self.recording.size

    async def url(self, parameters: Parameters) -> URL:
        """The signed URL where the media are.

        Raises:
            NotFoundError: there are none, or none within the time to wait.
            MediaError: they are in a bucket of the account's own, or the service named no usable URL.
        """
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self.wait, 1.0
        while True:
            try:
                return await self._asked_for(parameters)
            except NotFoundError:
                left = end - loop.time()
                if left <= 0 and self.recording.media_external_location is None:
                    raise
            if self.recording.media_external_location is not None:
                where = safe_repr(self.recording.media_external_location)
                raise MediaError(f"the media of {self.recording.sid} are in a bucket of the account's own: {where}")
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _ASKED_AGAIN)

    async def _asked_for(self, parameters: Parameters) -> URL:
        response = await self.transport.get_redirect(
            self.path, query_string(parameters), Deadline.start(self.asking), self.operation
        )
        location = decode_media_location(response.body) or response.headers.get("Location")
        of = f"GET {response.url.with_query(None)}"
        if location is None:
            raise MediaError(f"{of}: the service did not say where the media are")
        return check_media_url(location, self.transport.base_url, of)


class MediaStream:
    """The bytes of media, one after the other, whatever happens to URLs and connections on the way.

    Attributes:
        position: how many bytes were given, with those that the caller had already.
        total: how many there are; None if the store does not say.
        etag: which version of the media they are; None if the store does not say.
        headers: the headers of the store's response.
    """

    headers: CIMultiDictProxy[str]

    def __init__(self, media: Media, deadline: Deadline) -> None:
        self.position = 0
        self.total: int | None = None
        self.etag: str | None = None
        self._media = media
        self._deadline = deadline
        self._url: URL | None = None
        self._body: ResponseStream | None = None
        self._failures = 0

    async def begin(self, had: int, is_of: Callable[[str], bool]) -> None:
        """Connect, and go on after as many bytes as the caller has already; at the beginning, if those are of no use.

        Args:
            had: how many bytes the caller has.
            is_of: whether they are part of the version with this ETag.

        Raises:
            APIError: the service or the store answered with an error.
            TransportError: no connection came about.
            MediaError: there is no usable URL.
            VerificationError: the media do not have the size that the service says.
        """
        self._body = await self._usable(had, is_of) if had else None
        self.position = had if self._body else 0
        self._body = self._body or await self._connected(0)
        self.etag, self.total, self.headers = _strong_etag(self._body), _total(self._body), self._body.headers
        expected = None if is_encrypted(self.headers) else self._media.size
        if self.total is not None and expected is not None and self.total != expected:
            raise VerificationError(f"{self._name}: the store has {self.total} bytes, the service says {expected}")

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """The bytes as they arrive, some chunks at a time. What comes before an error is given before it is raised.

        Raises:
            APIError: the service or the store answered with an error.
            TransportError: the connection broke too often, or brought nothing in time.
            VerificationError: the media are others, or more, than they were at the beginning.
        """
        while self._body is not None:
            begun_at, failure = self.position, None
            try:
                async with aclosing(self._arriving(self._body)) as batches:
                    async for batch in batches:
                        yield batch
            except TransportError as error:
                failure = error
            self.close()
            if failure is not None:
                self._failures = 0 if self.position - begun_at >= _WORTH_A_TRY else self._failures
                await self._recover(failure)
                self._body = await self._same_again()

    def close(self) -> None:
        """Let the connection go."""
        if self._body is not None:
            self._body.close()
        self._body = None

    async def _arriving(self, body: ResponseStream) -> AsyncGenerator[list[bytes], None]:
        """What a response brings, from the present position on."""
        known = self.position - _first_byte(body)
        async with aclosing(body.batches()) as batches:
            async for batch in batches:
                new = _without_first(known, batch) if known else batch
                known -= sum(map(len, batch)) - sum(map(len, new))
                self.position += sum(map(len, new))
                if self.total is not None and self.position > self.total:
                    raise VerificationError(f"{self._name}: more than the {self.total} bytes that were announced")
                yield new
        if self.total is not None and self.position < self.total:
            raise body.truncated(f"the media ended after {self.position} of {self.total} bytes")

    async def _usable(self, had: int, is_of: Callable[[str], bool]) -> ResponseStream | None:
        """A response that goes on after the bytes that the caller has; None if they are no part of these media."""
        try:
            body = await self._connected(had)
        except APIError as error:
            if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return None
        etag = _strong_etag(body)
        if etag is not None and is_of(etag):
            return body
        body.close()
        return None

    async def _same_again(self) -> ResponseStream:
        """A response that goes on where the last one broke off."""
        body = await self._connected(self.position)
        if (_strong_etag(body), _total(body)) != (self.etag, self.total):
            body.close()
            raise VerificationError(f"{self._name}: the media were replaced while they were read; begin anew")
        return body

    async def _connected(self, position: int) -> ResponseStream:
        """A response with what comes after the position, and the byte before: so there is always a part to ask for,
        even if the position is the end.
        """
        first = max(0, position - 1)
        while True:
            fresh = self._url is None
            self._url = self._url or await self._media.url({})
            got = await self._media.transport.stream(
                self._url, first, self._failures + 1, self._media.reading, self._media.operation
            )
            if isinstance(got, ResponseStream):
                return self._of_the_part(got, first)
            if isinstance(got, PermissionDeniedError) and not fresh:
                self._url = None  # it has expired
            else:
                await self._recover(got)

    def _of_the_part(self, body: ResponseStream, first: int) -> ResponseStream:
        readable = body.status != HTTPStatus.PARTIAL_CONTENT or _content_range(body) is not None
        if readable and _first_byte(body) in (0, first):
            return body
        body.close()
        raise VerificationError(f"{self._name}: the store sent another part than the one that was asked for")

    async def _recover(self, failure: RoomRecError) -> None:
        self._failures += 1
        await self._media.transport.retry_or_raise(failure, self._failures, self._deadline)

    @property
    def _name(self) -> str:
        return f"the media of {self._media.recording.sid}"


def _without_first(count: int, chunks: list[bytes]) -> list[bytes]:
    """Chunks without so many bytes at their beginning."""
    joined = b"".join(chunks)
    return [joined[count:]] if len(joined) > count else []


def _strong_etag(body: ResponseStream) -> str | None:
    """The version that a response is of; a weak ETag says nothing about bytes."""
    etag = body.headers.get("ETag")
    return None if etag is None or etag.startswith("W/") else etag


def _first_byte(body: ResponseStream) -> int:
    match = _content_range(body)
    return int(match[1]) if match else 0


def _total(body: ResponseStream) -> int | None:
    if match := _content_range(body):
        return int(match[2])
    length = body.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def _content_range(body: ResponseStream) -> re.Match[str] | None:
    if body.status != HTTPStatus.PARTIAL_CONTENT:
        return None
    return _CONTENT_RANGE.fullmatch(body.headers.get("Content-Range", ""))
