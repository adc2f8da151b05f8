"""One recording's media: their signed URL, and a stream of their bytes that survives broken connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import attrs
from multidict import CIMultiDictProxy
from yarl import URL

from roomrec_async._api.codec import decode_media_location
from roomrec_async._api.params import Parameters, media_path, query_string
from roomrec_async._api.urls import check_media_url
from roomrec_async._http.request import MEDIA_REDIRECTS
from roomrec_async._http.stream import ResponseStream
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async._text import safe_repr
from roomrec_async.config import Timeout
from roomrec_async.errors import (
    APIError,
    BadRequestError,
    DecryptionError,
    MediaError,
    NotFoundError,
    PermissionDeniedError,
    RoomRecError,
    TransportError,
    VerificationError,
)
from roomrec_async.events import Operation, OperationName
from roomrec_async.models import MediaType, Recording

# First byte and size of the media (RFC 9110, section 14.4). The numbers are bounded: int() refuses thousands of digits.
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII)
_UNKNOWN_TOTAL: Final = re.compile(r"bytes \d{1,18}-\d{1,18}/\*", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
# Redirects of a store that are followed: buckets move, but not often.
_MAX_REDIRECTS: Final = 5
# Bytes that are no UTF-8 become surrogates, which no file and no database takes.
_STRONG_ETAG: Final = re.compile(r'"[^"\x00-\x20\x7f\ud800-\udfff]+"')
# Minimum time between the last change of media and a response for the date of the change to identify them. RFC 9110
# asks for one second of one clock; RFC 7232 for a minute, which allows for clocks that differ.
_MIN_AGE: Final = timedelta(seconds=60)
# Formats are an open enumeration: a new one that is not fit for a file name leaves the file without an extension.
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,8}")
# Maximum seconds between two requests for media that are not there yet.
_MAX_POLL_DELAY: Final = 10.0
# A connection that brought at least this many bytes before it broke made progress: the count of failures is reset.
_MIN_PROGRESS: Final = 2**16


KEY_HEADER: Final = "x-amz-meta-x-amz-key"
"""Header of the object store with the encrypted key of encrypted media."""

IV_HEADER: Final = "x-amz-meta-x-amz-iv"
"""Header of the object store with the initialization vector of encrypted media."""


def media_name(recording: Recording) -> str:
    """Return the name for a recording's file, such as ``RT....mkv``: from its SID, never from a participant's text."""
    default = "mkv" if recording.type is MediaType.VIDEO else "mka"
    extension = recording.container_format or default
    if not _EXTENSION.fullmatch(extension):
        return str(recording.sid)
    return f"{recording.sid}.{extension}"


def is_encrypted(headers: Mapping[str, str]) -> bool:
    """Return True if the media that come with these response headers are encrypted."""
    return KEY_HEADER in headers


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
        """Size in bytes according to the service; None if it gives none, or 0, as for media that are being made."""
        return self.recording.size or None

    async def url(self, parameters: Parameters, polling: Polling | None = None) -> URL:
        """Return the signed URL of the media, polling until they are there or the time to wait is up.

        Args:
            parameters: the query of the request.
            polling: bounds the time to wait; None for a time of its own.

        Raises:
            NotFoundError: there are no media, or they were not there in time.
            MediaError: the media are in the account's own bucket, or the service named no usable URL.
        """
        polling = polling or Polling(self.wait)
        while True:
            try:
                return await self._request_url(parameters)
            except NotFoundError:
                if polling.is_over and self.recording.media_external_location is None:
                    raise

            # Outside the handler, so that the 404 does not become the context of this error.
            if self.recording.media_external_location is not None:
                location = safe_repr(self.recording.media_external_location)
                raise MediaError(f"the media of {self.recording.sid} are in the account's own bucket: {location}")
            await polling.sleep()

    async def _request_url(self, parameters: Parameters) -> URL:
        deadline = Deadline.start(self.request_timeout)
        response = await self.transport.get_redirect(self.path, query_string(parameters), deadline, self.operation)
        location = decode_media_location(response.body) or response.headers.get("Location")
        request = f"GET {response.url.with_query(None)}"
        if location is None:
            raise MediaError(f"{request}: the service sent no URL for the media")
        return check_media_url(location, self.transport.base_url, request)


class Polling:
    """Delays between requests for media that are not there yet.

    Args:
        seconds: how long to wait for them.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds
        self._delay = 1.0

    @property
    def is_over(self) -> bool:
        """True if the time to wait is up."""
        return self._loop.time() >= self._end

    async def sleep(self) -> None:
        """Sleep until the next request is due: each time twice as long, up to ten seconds."""
        await asyncio.sleep(max(0.0, min(self._delay, self._end - self._loop.time())))
        self._delay = min(2 * self._delay, _MAX_POLL_DELAY)


class MediaStream:
    """The bytes of one recording's media, in order. Reconnects where URLs expire and connections break.

    Attributes:
        position: number of bytes read, including those that the caller already had.
        total: size of the media in bytes; None if the store does not give it.
        etag: strong ETag of the media; None if the store sends none.
        validator: what identifies the version of the media, so that it can be resumed; None if the store sends nothing
            that does. See :func:`strong_validator`.
        headers: headers of the store's response.
    """

    headers: CIMultiDictProxy[str]

    def __init__(self, media: Media, deadline: Deadline) -> None:
        self.position = 0
        self.total: int | None = None
        self.etag: str | None = None
        self.validator: str | None = None
        self._media = media
        # The end of all retries.
        self._deadline = deadline
        # The signed URL; None before the first request, and once it has expired.
        self._url: URL | None = None
        # The response that is being read; None when the stream is closed.
        self._body: ResponseStream | None = None
        self._polling = Polling(media.wait)
        # The highest position at which the media broke off.
        self._furthest = 0
        # Failed attempts since the last progress.
        self._failures = 0
        # Retries that it took from the client's budget, and has not given back.
        self._charged = 0

    async def open(self, offset: int, is_same_version: Callable[[str], bool]) -> None:
        """Connect, and resume at an offset if the media have not changed; otherwise start at the beginning.

        May be called again after an error, to start again.

        Args:
            offset: number of bytes that the caller already has; 0 to start at the beginning.
            is_same_version: returns True if those bytes are from the version with this validator.

        Raises:
            APIError: the service or the store answered with an error.
            TransportError: no connection could be made.
            MediaError: there is no usable URL.
            DecryptionError: the recording is encrypted, and the store does not say how.
            VerificationError: the size of the media is not the one that the service reports.
        """
        if offset:
            self._body = await self._try_resume(offset, is_same_version)
        if self._body is not None:
            self.position = offset
        else:
            self._body = await self._connect(0)
            self.position = 0
        self._furthest = max(self._furthest, self.position)

        self.etag = strong_etag(self._body)
        self.validator = strong_validator(self._body)
        self.total = total_size(self._body)
        self.headers = self._body.headers
        is_ciphertext = self._media.recording.encryption_key or IV_HEADER in self.headers
        if is_ciphertext and not is_encrypted(self.headers):
            # Without the key and the initialization vector, these bytes are of no use, and look like any others.
            raise DecryptionError(
                f"{self._name} are encrypted, and the store sent no key for them: the header {KEY_HEADER} is missing, "
                "perhaps because a proxy removed it"
            )
        self._check_total()

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the bytes as they arrive, in batches of chunks. Those before an error are yielded before it is raised.

        Raises:
            APIError: the service or the store answered with an error.
            TransportError: connections broke too often, or no bytes arrived in time; or it happened once, and nothing
                identifies the version of the media: what was read is worthless, and :meth:`retry` says whether to start
                again.
            VerificationError: the media changed while they were read, are larger than announced, or their size is not
                the one that the service reports.
        """
        while self._body is not None:
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
                # Bytes that were read before, and lost, are no progress.
                if self.position - self._furthest >= _MIN_PROGRESS:
                    self._failures = 0
                    self._give_back_retries()
                self._furthest = max(self._furthest, self.position)
                if self.validator is None:
                    raise failure
                await self._backoff(failure)
                self._body = await self._reconnect(failure)
                # The response that broke off may have had no total.
                self._check_total()
        self._give_back_retries()

    async def retry(self, failure: TransportError) -> None:
        """Back off after a failure, so that the caller can start again; raise it if that is not to be done.

        Media that are resumed were retried as often as allowed. Others have to be started again by the caller.
        """
        self.close()
        if self.validator is not None:
            raise failure
        await self._backoff(failure)

    def close(self) -> None:
        """Close the connection."""
        if self._body is not None:
            self._body.close()
        self._body = None

    def _check_total(self) -> None:
        """Check that the store has as many bytes as the service reports, if both say how many.

        Raises:
            VerificationError: it has fewer, or more.
        """
        # The store has the encrypted bytes, whose number is not the size of the recording.
        expected = None if is_encrypted(self.headers) else self._media.size
        if self.total is not None and expected is not None and self.total != expected:
            raise VerificationError(f"{self._name}: the store has {self.total} bytes, the service says {expected}")

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

    async def _try_resume(self, offset: int, is_same_version: Callable[[str], bool]) -> ResponseStream | None:
        """Return a response that continues at the offset, or None if the bytes before it are not from these media."""
        try:
            body = await self._connect(offset)
        except APIError as error:
            # The caller has more bytes than there are.
            if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return None

        validator = strong_validator(body)
        if validator is not None and is_same_version(validator) and not has_unknown_total(body):
            return body
        body.close()
        return None

    async def _reconnect(self, failure: TransportError) -> ResponseStream:
        """Return a response that continues at the current position.

        Args:
            failure: why the response before it ended.

        Raises:
            VerificationError: it is of another version of the media.
            TransportError: it does not give the size of the media, so that they cannot be resumed.
        """
        body = await self._connect(self.position)
        if has_unknown_total(body):
            body.close()
            self.validator = None
            raise failure

        total = total_size(body)
        is_same_size = self.total is None or total is None or self.total == total
        if strong_validator(body) != self.validator or not is_same_size:
            body.close()
            raise VerificationError(f"{self._name}: the media changed during the download; start it again")
        self.total = self.total if total is None else total
        return body

    async def _connect(self, position: int) -> ResponseStream:
        """Return a response with the bytes after a position, retried as often as the policy and the deadline allow.

        The byte before the position is requested too: at the end of the media, a range without it would be empty, and
        be refused with 416.
        """
        first = max(0, position - 1)
        while True:
            is_fresh = self._url is None
            self._url = self._url or await self._media.url({}, self._polling)
            outcome = await self._request(self._url, first)
            if isinstance(outcome, ResponseStream):
                return self._check_range(outcome, first)
            if is_expired(outcome) and not is_fresh:
                # Get another URL at once.
                self._url = None
            elif isinstance(outcome, NotFoundError) and not self._polling.is_over:
                # The service knows the media already, and the store does not yet.
                self._url = None
                await self._polling.sleep()
            else:
                await self._backoff(outcome)

    async def _request(self, url: URL, first: int) -> ResponseStream | RoomRecError:
        """Request the media from the store, and follow its redirects.

        Raises:
            MediaError: there are too many redirects, or one leads to no usable URL.
        """
        media = self._media
        for _ in range(_MAX_REDIRECTS + 1):
            outcome = await media.transport.stream(
                url, first, self._failures + 1, media.stream_timeout, media.operation
            )
            if not isinstance(outcome, ResponseStream) or outcome.status not in MEDIA_REDIRECTS:
                return outcome
            outcome.close()
            request = f"GET {url.with_query(None)}"
            url = redirect_target(url, outcome.headers.get("Location", ""), media.transport.base_url, request)
        raise MediaError(f"{self._name}: the store redirected more than {_MAX_REDIRECTS} times")

    def _check_range(self, body: ResponseStream, first: int) -> ResponseStream:
        """Return a response that begins at the requested byte, or at 0 where the store ignores ranges.

        Raises:
            VerificationError: it does not.
        """
        is_readable = body.status != HTTPStatus.PARTIAL_CONTENT or content_range(body) is not None
        if is_readable and first_byte(body) in (0, first):
            return body
        if first and has_unknown_total(body):
            # The caller starts again.
            return body
        body.close()
        raise VerificationError(f"{self._name}: the store sent another range than the one requested")

    async def _backoff(self, failure: RoomRecError) -> None:
        """Count a failed attempt, and sleep until the next one; raise the failure if there is none."""
        self._failures += 1
        self._charged += await self._media.transport.retry_or_raise(failure, self._failures, self._deadline)

    def _give_back_retries(self) -> None:
        """Give the retries back to the client's budget: they were worth it."""
        self._media.transport.retries_succeeded(self._charged)
        self._charged = 0

    @property
    def _name(self) -> str:
        return f"the media of {self._media.recording.sid}"


def is_expired(error: RoomRecError) -> bool:
    """Return True if a store refused a signed URL that may have expired.

    It answers 403 to an expired signature, and 400 to an expired token (ExpiredToken, RequestExpired). Any other 400
    costs one request for a URL, which is then refused in the same way.
    """
    return isinstance(error, (PermissionDeniedError, BadRequestError))


def redirect_target(url: URL, location: str, base_url: str, request: str) -> URL:
    """Return the URL that a store redirects to.

    Raises:
        MediaError: it is not usable, or not encrypted although the URL before it was.
    """
    try:
        target = url.join(URL(location, encoded=True)) if location else URL()
    except ValueError:
        target = URL()
    if target.scheme not in ("https", url.scheme):
        raise MediaError(f"{request}: the store redirected to no usable https URL")
    return check_media_url(str(target), base_url, request)


def drop_bytes(chunks: list[bytes], count: int) -> list[bytes]:
    """Return chunks without their first ``count`` bytes."""
    remaining = b"".join(chunks)[count:]
    return [remaining] if remaining else []


def strong_etag(body: ResponseStream) -> str | None:
    """Return the ETag of a response, or None if it has none, several, or a weak one, which does not identify bytes."""
    etag = only_value(body, "ETag")
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def strong_validator(body: ResponseStream) -> str | None:
    """Return what identifies the bytes of a response, or None: a strong ETag, or else a strong ``Last-Modified``.

    A date identifies them if it lies well before that of the response: what changes later has a later date (RFC 9110,
    section 8.8.2.2).
    """
    etag = strong_etag(body)
    if etag is not None:
        return etag
    modified = only_value(body, "Last-Modified")
    try:
        age = parsedate_to_datetime(body.headers.get("Date", "")) - parsedate_to_datetime(modified)
    except (ValueError, TypeError, OverflowError):
        # A date is missing or malformed, or only one of them has a time zone.
        return None
    return modified if age >= _MIN_AGE else None


def only_value(body: ResponseStream, name: str) -> str:
    """Return the value of a header; an empty text if it is missing, or there more than once, as any may be wrong."""
    values = body.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def first_byte(body: ResponseStream) -> int:
    """Return the position of a response's first byte in the media."""
    match = content_range(body)
    return int(match[1]) if match else 0


def total_size(body: ResponseStream) -> int | None:
    """Return the size of the media in bytes, or None if the response does not give it."""
    if match := content_range(body):
        return int(match[2])
    length = body.headers.get("Content-Length", "")
    return int(length) if _NUMBER.fullmatch(length) else None


def has_unknown_total(body: ResponseStream) -> bool:
    """Return True if a partial response does not give the size of the media, as with ``bytes 5-9/*``."""
    is_partial = body.status == HTTPStatus.PARTIAL_CONTENT
    return is_partial and _UNKNOWN_TOTAL.fullmatch(body.headers.get("Content-Range", "")) is not None


def content_range(body: ResponseStream) -> re.Match[str] | None:
    """Return the match of a partial response's ``Content-Range``: its first byte, and the size of the media."""
    if body.status != HTTPStatus.PARTIAL_CONTENT:
        return None
    return _CONTENT_RANGE.fullmatch(body.headers.get("Content-Range", ""))
