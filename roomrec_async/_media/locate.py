"""One recording's media: their signed URL, and a stream of their bytes that survives broken connections."""

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

# First byte and size of the media (RFC 9110, section 14.4); other forms, such as an unknown size, are refused.
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
# Formats are an open enumeration: a new one that is not fit for a file name leaves the file without an extension.
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")
# Maximum seconds between two requests for media that are not there yet.
_MAX_POLL_DELAY: Final = 10.0
# A connection that brought at least this many bytes before it broke made progress: the count of failures is reset.
_MIN_PROGRESS: Final = 2**16


def media_name(recording: Recording) -> str:
    """Return the name for a recording's file, such as ``RT....mkv``: from its SID, never from a participant's text."""
    default = "mkv" if recording.type is MediaType.VIDEO else "mka"
    extension = recording.container_format or default
    if not _EXTENSION.fullmatch(extension):
        return str(recording.sid)
    return f"{recording.sid}.{extension}"


def is_encrypted(headers: Mapping[str, str]) -> bool:
    """Return True if the media that come with these response headers are encrypted."""
    return "x-amz-meta-x-amz-key" in headers


@attrs.frozen
class Media:
    """One recording's media, and how to request them.

    Args:
        operation_name: the method of the client.
        transport: sends the requests.
        recording: the recording; its SIDs lead to the media.
        wait: seconds to wait for media that are not there yet.
        request_timeout: bounds each request for the signed URL.
        stream_timeout: bounds connecting to the object store, and each read.

    Attributes:
        operation: the operation as observers see it.

    Raises:
        InvalidArgumentError: the recording has no SID, or a malformed one.
    """

    operation_name: OperationName
    transport: Transport
    recording: Recording
    wait: float
    request_timeout: Timeout
    stream_timeout: Timeout
    operation: Operation = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "operation", Operation(self.operation_name, media_path(self.recording)))

    @property
    def path(self) -> str:
        """API path that redirects to the media."""
        return self.operation.path

    @property
    def file_name(self) -> str:
        """Name for a file of the media."""
        return media_name(self.recording)

    @property
    def size(self) -> int | None:
        """Size in bytes according to the service, or None if it gives none."""
        return self.recording.size

    async def url(self, parameters: Parameters) -> URL:
        """Return the signed URL of the media, polling until they are there or the time to wait is up.

        Raises:
            NotFoundError: there are no media, or they were not there in time.
            MediaError: the media are in the account's own bucket, or the service named no usable URL.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.wait
        delay = 1.0
        while True:
            try:
                return await self._request_url(parameters)
            except NotFoundError:
                remaining = end - loop.time()
                if remaining <= 0 and self.recording.media_external_location is None:
                    raise

            # Outside the handler, so that the 404 does not become the context of this error.
            if self.recording.media_external_location is not None:
                location = safe_repr(self.recording.media_external_location)
                raise MediaError(f"the media of {self.recording.sid} are in the account's own bucket: {location}")
            await asyncio.sleep(min(delay, remaining))
            delay = min(2 * delay, _MAX_POLL_DELAY)

    async def _request_url(self, parameters: Parameters) -> URL:
        deadline = Deadline.start(self.request_timeout)
        response = await self.transport.get_redirect(self.path, query_string(parameters), deadline, self.operation)
        location = decode_media_location(response.body) or response.headers.get("Location")
        request = f"GET {response.url.with_query(None)}"
        if location is None:
            raise MediaError(f"{request}: the service sent no URL for the media")
        return check_media_url(location, self.transport.base_url, request)


class MediaStream:
    """The bytes of one recording's media, in order. Reconnects where URLs expire and connections break.

    Attributes:
        position: number of bytes read, including those that the caller already had.
        total: size of the media in bytes; None if the store does not give it.
        etag: strong ETag of the media; None if the store sends none.
        headers: headers of the store's response.
    """

    headers: CIMultiDictProxy[str]

    def __init__(self, media: Media, deadline: Deadline) -> None:
        self.position = 0
        self.total: int | None = None
        self.etag: str | None = None
        self._media = media
        # The end of all retries.
        self._deadline = deadline
        # The signed URL; None before the first request, and once it has expired.
        self._url: URL | None = None
        # The response that is being read; None when the stream is closed.
        self._body: ResponseStream | None = None
        # Failed attempts since the last progress.
        self._failures = 0

    async def open(self, offset: int, matches_etag: Callable[[str], bool]) -> None:
        """Connect, and resume at an offset if the media have not changed; otherwise start at the beginning.

        Args:
            offset: number of bytes that the caller already has; 0 to start at the beginning.
            matches_etag: returns True if those bytes are from the version with this ETag.

        Raises:
            APIError: the service or the store answered with an error.
            TransportError: no connection could be made.
            MediaError: there is no usable URL.
            VerificationError: the size of the media is not the one that the service reports.
        """
        if offset:
            self._body = await self._try_resume(offset, matches_etag)
        if self._body is not None:
            self.position = offset
        else:
            self._body = await self._connect(0)

        self.etag = strong_etag(self._body)
        self.total = total_size(self._body)
        self.headers = self._body.headers
        # The store has the encrypted bytes, whose number is not the size of the recording.
        expected = None if is_encrypted(self.headers) else self._media.size
        if self.total is not None and expected is not None and self.total != expected:
            raise VerificationError(f"{self._name}: the store has {self.total} bytes, the service says {expected}")

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the bytes as they arrive, in batches of chunks. Those before an error are yielded before it is raised.

        Raises:
            APIError: the service or the store answered with an error.
            TransportError: connections broke too often, or no bytes arrived in time.
            VerificationError: the media changed while they were read, or are larger than announced.
        """
        while self._body is not None:
            start = self.position
            failure = None
            try:
                async with aclosing(self._read_batches(self._body)) as batches:
                    async for batch in batches:
                        yield batch
            except TransportError as error:
                failure = error

            # No connection is held while backing off.
            self.close()
            if failure is not None:
                if self.position - start >= _MIN_PROGRESS:
                    self._failures = 0
                await self._backoff(failure)
                self._body = await self._reconnect()

    def close(self) -> None:
        """Close the connection."""
        if self._body is not None:
            self._body.close()
        self._body = None

    async def _read_batches(self, body: ResponseStream) -> AsyncGenerator[list[bytes], None]:
        """Yield the bytes of one response, from the current position on."""
        # A response begins before the position: a byte before it, or at 0 where the store ignores the range.
        overlap = self.position - first_byte(body)
        async with aclosing(body.batches()) as batches:
            async for batch in batches:
                new = drop_bytes(batch, overlap) if overlap else batch
                overlap -= sum(map(len, batch)) - sum(map(len, new))
                self.position += sum(map(len, new))
                if self.total is not None and self.position > self.total:
                    raise VerificationError(f"{self._name}: more than the {self.total} bytes that were announced")
                yield new
        if self.total is not None and self.position < self.total:
            raise body.truncated(f"the media ended after {self.position} of {self.total} bytes")

    async def _try_resume(self, offset: int, matches_etag: Callable[[str], bool]) -> ResponseStream | None:
        """Return a response that continues at the offset, or None if the bytes before it are not from these media."""
        try:
            body = await self._connect(offset)
        except APIError as error:
            # The caller has more bytes than there are.
            if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return None

        etag = strong_etag(body)
        if etag is not None and matches_etag(etag):
            return body
        body.close()
        return None

    async def _reconnect(self) -> ResponseStream:
        """Return a response that continues at the current position.

        Raises:
            VerificationError: it is of another version of the media.
        """
        body = await self._connect(self.position)
        if (strong_etag(body), total_size(body)) != (self.etag, self.total):
            body.close()
            raise VerificationError(f"{self._name}: the media changed during the download; start it again")
        return body

    async def _connect(self, position: int) -> ResponseStream:
        """Return a response with the bytes after a position, retried as often as the policy and the deadline allow.

        The byte before the position is requested too: at the end of the media, a range without it would be empty, and
        be refused with 416.
        """
        first = max(0, position - 1)
        while True:
            is_fresh = self._url is None
            self._url = self._url or await self._media.url({})
            outcome = await self._media.transport.stream(
                self._url, first, self._failures + 1, self._media.stream_timeout, self._media.operation
            )
            if isinstance(outcome, ResponseStream):
                return self._check_range(outcome, first)
            if isinstance(outcome, PermissionDeniedError) and not is_fresh:
                # The URL has expired: get another one at once.
                self._url = None
            else:
                await self._backoff(outcome)

    def _check_range(self, body: ResponseStream, first: int) -> ResponseStream:
        """Return a response that begins at the requested byte, or at 0 where the store ignores ranges.

        Raises:
            VerificationError: it does not.
        """
        is_readable = body.status != HTTPStatus.PARTIAL_CONTENT or content_range(body) is not None
        if is_readable and first_byte(body) in (0, first):
            return body
        body.close()
        raise VerificationError(f"{self._name}: the store sent another range than the one requested")

    async def _backoff(self, failure: RoomRecError) -> None:
        """Count a failed attempt, and sleep until the next one; raise the failure if there is none."""
        self._failures += 1
        await self._media.transport.retry_or_raise(failure, self._failures, self._deadline)

    @property
    def _name(self) -> str:
        return f"the media of {self._media.recording.sid}"


def drop_bytes(chunks: list[bytes], count: int) -> list[bytes]:
    """Return chunks without their first ``count`` bytes."""
    remaining = b"".join(chunks)[count:]
    return [remaining] if remaining else []


def strong_etag(body: ResponseStream) -> str | None:
    """Return the ETag of a response, or None if it has none or a weak one, which does not identify bytes."""
    etag = body.headers.get("ETag")
    if etag is None or etag.startswith("W/"):
        return None
    return etag


def first_byte(body: ResponseStream) -> int:
    """Return the position of a response's first byte in the media."""
    match = content_range(body)
    return int(match[1]) if match else 0


def total_size(body: ResponseStream) -> int | None:
    """Return the size of the media in bytes, or None if the response does not give it."""
    if match := content_range(body):
        return int(match[2])
    length = body.headers.get("Content-Length", "")
    if length.isascii() and length.isdecimal():
        return int(length)
    return None


def content_range(body: ResponseStream) -> re.Match[str] | None:
    """Return the match of a partial response's ``Content-Range``: its first byte, and the size of the media."""
    if body.status != HTTPStatus.PARTIAL_CONTENT:
        return None
    return _CONTENT_RANGE.fullmatch(body.headers.get("Content-Range", ""))
