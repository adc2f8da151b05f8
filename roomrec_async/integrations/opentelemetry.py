"""Spans and metrics of what a client does, by OpenTelemetry. Extra ``otel``.

    >>> from roomrec_async.integrations.opentelemetry import Telemetry
    >>> client = RecordingsClient.from_env(observers=[Telemetry()])

Which SDK receives them is the program's choice; without one, nothing happens.

Spans: one for each operation (``roomrec recordings``), in it one for each request of the API (``roomrec request``: a
page, for one), in it one for each try, by the semantic conventions for HTTP clients (``GET``). URLs come without their
query: no page token and no signature is in them.

Metrics, beside ``http.client.request.duration`` (s) of each try:

============================  =========  ==========================================================================
``roomrec.requests``          {request}  tries of requests, by ``http.response.status_code`` or ``error.type``
``roomrec.retries``           {request}  those that were not the first try
``roomrec.refused``           {request}  those that were answered with 429
``roomrec.limiter.wait``      s          time that a try waited for its permit
``roomrec.limiter.permits``   {permit}   permits in use
``roomrec.records``           {record}   recordings and rooms that were delivered, by ``roomrec.operation``
``roomrec.media.bytes``       By         bytes of media that arrived
============================  =========  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from roomrec_async._version import __version__
from roomrec_async.errors import ConfigurationError
from roomrec_async.events import Activity, Attempt, Operation, Request

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ImportError as error:
    raise ConfigurationError("telemetry needs opentelemetry-api: pip install 'roomrec-async[otel]'") from error

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_Attributes: TypeAlias = Mapping[str, str | int]

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"
# As the semantic conventions advise for durations in seconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class Telemetry:
    """An observer that makes spans and metrics. It may be given to several clients.

    Args:
        tracer_provider: where spans go; by default to the global one.
        meter_provider: where metrics go; by default to the global one.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("roomrec_async", __version__, tracer_provider, _SCHEMA)
        self._metrics = _Metrics(meter_provider)
        self._spans: dict[Activity, Span] = {}

    def started(self, activity: Activity) -> None:
        """Begin its span."""
        parent = self._spans.get(_parent(activity) or activity)
        # An operation belongs to whatever its caller is in; the rest to what it is a part of, in whatever task it runs.
        within = context.get_current() if parent is None else trace.set_span_in_context(parent)
        kind = SpanKind.CLIENT if isinstance(activity, Attempt) else SpanKind.INTERNAL
        self._spans[activity] = self._tracer.start_span(_name(activity), within, kind, _known(activity))
        if isinstance(activity, Attempt):
            self._metrics.started(activity)

    def ended(self, activity: Activity) -> None:
        """End its span, and count."""
        span = self._spans.pop(activity)
        if span.is_recording():
            span.set_attributes(_found(activity))
            if activity.error is not None:
                span.set_status(Status(StatusCode.ERROR, str(activity.error)))
        span.end()
        if isinstance(activity, Attempt):
            self._metrics.ended(activity)
        elif isinstance(activity, Operation):
            self._metrics.delivered(activity)


def _parent(activity: Activity) -> Activity | None:
    if isinstance(activity, Attempt):
        return activity.request
    return activity.operation if isinstance(activity, Request) else None


def _name(activity: Activity) -> str:
    if isinstance(activity, Operation):
        return f"roomrec {activity.name}"
    return activity.request.method if isinstance(activity, Attempt) else "roomrec request"


def _known(activity: Activity) -> _Attributes:
    """What is known when it begins."""
    if isinstance(activity, Operation):
        sids = {"roomrec.room_sid": activity.room_sid, "roomrec.recording_sid": activity.recording_sid}
        return {"roomrec.operation": activity.name, **{name: sid for name, sid in sids.items() if sid}}
    if not isinstance(activity, Attempt):
        return {}
    resent = {"http.request.resend_count": activity.number - 1} if activity.number > 1 else {}
    return {**_of_http(activity), "url.full": str(activity.request.url), **resent}


def _of_http(attempt: Attempt) -> _Attributes:
    return {
        "http.request.method": attempt.request.method,
        "server.address": attempt.request.url.host or "",
        "server.port": attempt.request.url.port or 0,
    }


def _found(activity: Activity) -> _Attributes:
    """What is known when it is over."""
    failed = {} if activity.error is None else {"error.type": _error_type(activity)}
    if isinstance(activity, Operation):
        return {"roomrec.records": activity.records, "roomrec.media.bytes": activity.bytes, **failed}
    if isinstance(activity, Attempt) and activity.status is not None:
        return {"http.response.status_code": activity.status, **failed}
    return failed


def _error_type(activity: Activity) -> str:
    if isinstance(activity, Attempt) and activity.status is not None:
        return str(activity.status)
    return type(activity.error).__qualname__


class _Metrics:
    def __init__(self, provider: MeterProvider | None) -> None:
        meter = metrics.get_meter("roomrec_async", __version__, provider, _SCHEMA)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._wait = meter.create_histogram(
            "roomrec.limiter.wait",
            "s",
            "How long requests waited for a permit.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._requests = meter.create_counter("roomrec.requests", "{request}", "Tries of requests.")
        self._retries = meter.create_counter("roomrec.retries", "{request}", "Tries that were not the first.")
        self._refused = meter.create_counter("roomrec.refused", "{request}", "Tries that were answered with 429.")
        self._permits = meter.create_up_down_counter("roomrec.limiter.permits", "{permit}", "Permits in use.")
        self._records = meter.create_counter("roomrec.records", "{record}", "Recordings and rooms delivered.")
        self._bytes = meter.create_counter("roomrec.media.bytes", "By", "Bytes of media that arrived.")

    def started(self, attempt: Attempt) -> None:
        if attempt.waited is not None:
            self._permits.add(1)
            self._wait.record(attempt.waited, {"http.request.method": attempt.request.method})

    def ended(self, attempt: Attempt) -> None:
        about = {**_of_http(attempt), **_found(attempt)}
        self._duration.record(attempt.seconds or 0.0, about)
        self._requests.add(1, about)
        if attempt.number > 1:
            self._retries.add(1, about)
        if attempt.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._refused.add(1)
        if attempt.waited is not None:
            self._permits.add(-1)

    def delivered(self, operation: Operation) -> None:
        about = {"roomrec.operation": operation.name}
        self._records.add(operation.records, about)
        self._bytes.add(operation.bytes, about)
