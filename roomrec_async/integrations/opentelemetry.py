"""Spans and metrics of a client's activities, for OpenTelemetry. Needs the extra ``otel``.

    >>> from roomrec_async.integrations.opentelemetry import Telemetry
    >>> client = RecordingsClient.from_env(observers=[Telemetry()])

The program chooses the SDK that receives them; without one, nothing happens.

Spans: one for each operation (``roomrec recordings``); in it, one for each request of the API (``roomrec request``),
such as a page; in that, one for each attempt, by the semantic conventions for HTTP clients (``GET``). URLs come without
their query, and so without page tokens and signatures.

Metrics, in addition to ``http.client.request.duration`` (s) of each attempt:

============================  =========  ==========================================================================
``roomrec.requests``          {request}  attempts of requests, by ``http.response.status_code`` or ``error.type``
``roomrec.retries``           {request}  attempts after the first
``roomrec.refused``           {request}  attempts that were answered with 429
``roomrec.limiter.wait``      s          time that an attempt waited for its permit
``roomrec.limiter.timeouts``  {request}  requests that ended while they waited for their permit: their deadline came
``roomrec.limiter.permits``   {permit}   permits in use
``roomrec.records``           {record}   recordings and rooms that were delivered, by ``roomrec.operation``
``roomrec.media.bytes``       By         bytes of media that arrived
============================  =========  ==========================================================================

Gauges of the state of a limiter, for ``Telemetry(limiter=limiter)``:

=============================  =========  =========================================================================
``roomrec.limiter.limit``      {permit}   maximum number of permits; none where there is no limit
``roomrec.limiter.in_flight``  {permit}   permits held in this process
``roomrec.limiter.waiting``    {request}  requests of this process that wait for a permit
``roomrec.limiter.paused``     s          remaining time of a pause; 0 for none
``roomrec.limiter.degraded``   1          1 while the limiter has lost Redis, else 0
=============================  =========  =========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from roomrec_async._version import __version__
from roomrec_async.errors import ConfigurationError
from roomrec_async.events import Activity, Attempt, Operation, Request

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ImportError as _error:
    raise ConfigurationError("telemetry needs opentelemetry-api: pip install 'roomrec-async[otel]'") from _error

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from roomrec_async.protocols import ObservableLimiter

_Attributes: TypeAlias = Mapping[str, str | int | float]

# The version of the semantic conventions that the names of spans and attributes follow.
_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
# Seconds; the boundaries that the semantic conventions advise for durations of HTTP requests.
_DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class Telemetry:
    """Observer that records spans and metrics. Several clients may share one.

    Args:
        tracer_provider: receives the spans; by default the global one.
        meter_provider: receives the metrics; by default the global one.
        limiter: the limiter whose state is to be exported as gauges.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        limiter: ObservableLimiter | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("roomrec_async", __version__, tracer_provider, _SCHEMA_URL)
        self._metrics = _Metrics(meter_provider)
        if limiter is not None:
            _create_gauges(limiter, meter_provider)
        # The spans of the activities under way.
        self._spans: dict[Activity, Span] = {}

    def started(self, activity: Activity) -> None:
        """Start the activity's span."""
        self._spans[activity] = self._start_span(activity)
        if isinstance(activity, Attempt):
            self._metrics.attempt_started(activity)

    def ended(self, activity: Activity) -> None:
        """End the activity's span, and record its metrics."""
        span = self._spans.pop(activity)
        if span.is_recording():
            span.set_attributes(_result_attributes(activity))
            if activity.error is not None:
                span.set_status(Status(StatusCode.ERROR, str(activity.error)))
        span.end()

        if isinstance(activity, Attempt):
            self._metrics.attempt_ended(activity)
        elif isinstance(activity, Request):
            self._metrics.request_ended(activity)
        elif isinstance(activity, Operation):
            self._metrics.operation_ended(activity)

    def _start_span(self, activity: Activity) -> Span:
        # The span of an operation belongs to the one that its caller is in. Requests and attempts may run in other
        # tasks, where the current span says nothing about them.
        span_context = context.get_current()
        parent = _parent(activity)
        if parent in self._spans:
            span_context = trace.set_span_in_context(self._spans[parent])

        kind = SpanKind.CLIENT if isinstance(activity, Attempt) else SpanKind.INTERNAL
        return self._tracer.start_span(_span_name(activity), span_context, kind, _start_attributes(activity))


def _parent(activity: Activity) -> Activity | None:
    if isinstance(activity, Attempt):
        return activity.request
    if isinstance(activity, Request):
        return activity.operation
    return None


def _span_name(activity: Activity) -> str:
    if isinstance(activity, Operation):
        return f"roomrec {activity.name}"
    if isinstance(activity, Attempt):
        return activity.request.method
    return "roomrec request"


def _start_attributes(activity: Activity) -> _Attributes:
    """Return the attributes that are known when an activity starts."""
    if isinstance(activity, Operation):
        sids = {"roomrec.room_sid": activity.room_sid, "roomrec.recording_sid": activity.recording_sid}
        return {"roomrec.operation": activity.name, **{name: sid for name, sid in sids.items() if sid}}
    if not isinstance(activity, Attempt):
        return {}
    resends = {"http.request.resend_count": activity.number - 1} if activity.number > 1 else {}
    return {**_http_attributes(activity), "url.full": str(activity.request.url), **resends}


def _http_attributes(attempt: Attempt) -> _Attributes:
    """Return the attributes that spans and metrics have in common."""
    return {
        "http.request.method": attempt.request.method,
        "server.address": attempt.request.url.host or "",
        "server.port": attempt.request.url.port or 0,
    }


def _result_attributes(activity: Activity) -> _Attributes:
    """Return the attributes that are known when an activity ends."""
    error = {} if activity.error is None else {"error.type": _error_type(activity)}
    if isinstance(activity, Operation):
        return {"roomrec.records": activity.records, "roomrec.media.bytes": activity.bytes, **error}
    if isinstance(activity, Attempt) and activity.status is not None:
        return {"http.response.status_code": activity.status, **error}
    if isinstance(activity, Request) and activity.waited_in_vain is not None:
        return {"roomrec.limiter.waited_in_vain": activity.waited_in_vain, **error}
    return error


def _error_type(activity: Activity) -> str:
    # By the semantic conventions: the status code where there is one, else the name of the exception's class.
    if isinstance(activity, Attempt) and activity.status is not None:
        return str(activity.status)
    return type(activity.error).__qualname__


class _Metrics:
    """The instruments, as they are listed in the docstring of the module."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = metrics.get_meter("roomrec_async", __version__, provider, _SCHEMA_URL)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._wait = meter.create_histogram(
            "roomrec.limiter.wait",
            "s",
            "Time that attempts waited for a permit.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._requests = meter.create_counter("roomrec.requests", "{request}", "Attempts of requests.")
        self._retries = meter.create_counter("roomrec.retries", "{request}", "Attempts after the first.")
        self._refused = meter.create_counter("roomrec.refused", "{request}", "Attempts that were answered with 429.")
        self._timeouts = meter.create_counter(
            "roomrec.limiter.timeouts", "{request}", "Requests whose deadline came while they waited for a permit."
        )
        self._permits = meter.create_up_down_counter("roomrec.limiter.permits", "{permit}", "Permits in use.")
        self._records = meter.create_counter("roomrec.records", "{record}", "Recordings and rooms delivered.")
        self._bytes = meter.create_counter("roomrec.media.bytes", "By", "Bytes of media that arrived.")

    def attempt_started(self, attempt: Attempt) -> None:
        # Requests to the object store need no permit.
        if attempt.waited is not None:
            self._permits.add(1)
            self._wait.record(attempt.waited, {"http.request.method": attempt.request.method})

    def attempt_ended(self, attempt: Attempt) -> None:
        attributes = {**_http_attributes(attempt), **_result_attributes(attempt)}
        self._duration.record(attempt.seconds or 0.0, attributes)
        self._requests.add(1, attributes)
        if attempt.number > 1:
            self._retries.add(1, attributes)
        if attempt.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._refused.add(1)
        if attempt.waited is not None:
            self._permits.add(-1)

    def request_ended(self, request: Request) -> None:
        if request.waited_in_vain is not None:
            attributes = {"http.request.method": request.method}
            self._timeouts.add(1, attributes)
            self._wait.record(request.waited_in_vain, attributes)

    def operation_ended(self, operation: Operation) -> None:
        attributes = {"roomrec.operation": operation.name}
        self._records.add(operation.records, attributes)
        self._bytes.add(operation.bytes, attributes)


def _create_gauges(limiter: ObservableLimiter, provider: MeterProvider | None) -> None:
    """Create the gauges of a limiter's state, as they are listed in the docstring of the module."""
    meter = metrics.get_meter("roomrec_async", __version__, provider, _SCHEMA_URL)

    def gauge(name: str, unit: str, description: str, read: Callable[[], float | None]) -> None:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            if (value := read()) is not None:
                yield Observation(value)

        meter.create_observable_gauge(f"roomrec.limiter.{name}", [observe], unit, description)

    def paused() -> float:
        until = limiter.paused_until
        return 0.0 if until is None else max(0.0, (until - datetime.now(UTC)).total_seconds())

    gauge("limit", "{permit}", "Maximum number of permits.", lambda: limiter.max_concurrency)
    gauge("in_flight", "{permit}", "Permits held in this process.", lambda: limiter.in_flight)
    gauge("waiting", "{request}", "Requests of this process that wait for a permit.", lambda: limiter.waiting)
    gauge("paused", "s", "Remaining time of a pause.", paused)
    gauge("degraded", "1", "1 while the limiter has lost Redis.", lambda: int(limiter.degraded))
