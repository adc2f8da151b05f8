"""Spans and metrics, as received by OpenTelemetry's SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from roomrec_async import NotFoundError, RateLimiter, Recording, RecordingsClient, RetryPolicy
from roomrec_async.events import Activity, Attempt
from roomrec_async.integrations.opentelemetry import Telemetry
from roomrec_async.simulator import Simulator, faults

UNKNOWN_ROOM = "RM" + 32 * "f"


class Received:
    """Spans and metrics that the SDK has received."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans, in the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def metrics(self) -> dict[str, dict[tuple[tuple[str, object], ...], float]]:
        """Return the value of each metric (of a histogram, its sum) by its attributes."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: {
                tuple(sorted((point.attributes or {}).items())): point.value
                if isinstance(point, NumberDataPoint)
                else point.sum
                for point in metric.data.data_points
            }
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


class PermitSampler:
    """Observer that samples the number of permits in use whenever an attempt ends."""

    def __init__(self, received: Received) -> None:
        self.permits: list[float] = []
        self._received = received

    def started(self, activity: Activity) -> None: ...

    def ended(self, activity: Activity) -> None:
        if isinstance(activity, Attempt):
            self.permits.append(total(self._received.metrics()["roomrec.limiter.permits"]))


def total(values: Mapping[tuple[tuple[str, object], ...], float]) -> float:
    return sum(values.values())


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(3, 7, seed=3, media_size=50_000) as simulator:
        yield simulator


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
async def client(sim: Simulator, received: Received) -> AsyncIterator[RecordingsClient]:
    telemetry = Telemetry(received.tracers, received.meters)
    async with RecordingsClient(
        sim.credentials, base_url=sim.base_url, retry=RetryPolicy(base_delay=0.001), observers=[telemetry]
    ) as client:
        yield client


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


class TestSpans:
    async def test_an_operation_contains_its_pages_and_a_page_its_attempts(
        self, client: RecordingsClient, sim: Simulator, received: Received
    ) -> None:
        sim.inject(faults.Respond(503))
        tracer = received.tracers.get_tracer("the program")
        with tracer.start_as_current_span("the program's own"):
            recordings = await client.recordings(sim.room_sids[0], page_size=4).to_list()
        by_name = [span.name for span in received.spans]
        pages = -(-len(recordings) // 4)
        assert by_name == [
            *["GET", "GET", "roomrec request"],
            *(pages - 1) * ["GET", "roomrec request"],
            *["roomrec recordings", "the program's own"],
        ]
        failed, again, page, *_, operation, own = received.spans
        assert operation.parent == own.context
        assert page.parent == operation.context
        assert failed.parent == again.parent == page.context
        assert len({span.context.trace_id for span in received.spans}) == 1
        assert attributes(operation) == {
            "roomrec.operation": "recordings",
            "roomrec.room_sid": sim.room_sids[0],
            "roomrec.records": len(recordings),
            "roomrec.media.bytes": 0,
        }

    async def test_attempts_have_the_attributes_of_the_conventions_for_http_clients(
        self, client: RecordingsClient, sim: Simulator, received: Received
    ) -> None:
        sim.inject(faults.Respond(503))
        await client.recordings(sim.room_sids[0]).to_list()
        failed, again, *_ = received.spans
        port = int(sim.base_url.rpartition(":")[2])
        known = {
            "http.request.method": "GET",
            "server.address": "127.0.0.1",
            "server.port": port,
            "url.full": f"{sim.base_url}/v1/Rooms/{sim.room_sids[0]}/Recordings",
        }
        assert attributes(failed) == known | {"http.response.status_code": 503, "error.type": "503"}
        assert attributes(again) == known | {"http.response.status_code": 200, "http.request.resend_count": 1}
        assert (failed.kind, failed.status.status_code) == (SpanKind.CLIENT, StatusCode.ERROR)
        assert (again.kind, again.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)

    async def test_a_failed_operation_has_the_type_and_the_message_of_its_error(
        self, client: RecordingsClient, received: Received
    ) -> None:
        with pytest.raises(NotFoundError) as caught:
            await client.recordings(UNKNOWN_ROOM).to_list()
        operation = received.spans[-1]
        assert attributes(operation)["error.type"] == "NotFoundError"
        assert (operation.status.status_code, operation.status.description) == (StatusCode.ERROR, str(caught.value))

    async def test_spans_contain_no_page_tokens_and_no_signatures(
        self, client: RecordingsClient, sim: Simulator, received: Received, tmp_path: Path
    ) -> None:
        record = next(sim.recordings(sim.room_sids[0], "completed"))
        await client.download(Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0]), tmp_path)
        await client.recordings(sim.room_sids[0], page_size=2).to_list()
        spans = "".join(span.to_json() for span in received.spans)
        assert f"{sim.store.base_url}/" in spans
        assert all(secret not in spans for secret in ("?", "PageToken", "Signature", sim.credentials.password))

    async def test_rooms_that_run_side_by_side_do_not_mix(
        self, client: RecordingsClient, sim: Simulator, received: Received
    ) -> None:
        await client.gather(sim.room_sids, page_size=1)
        operations = {
            span.context.span_id: attributes(span)["roomrec.room_sid"]
            for span in received.spans
            if span.name == "roomrec recordings"
        }
        assert sorted(map(str, operations.values())) == sorted(sim.room_sids)
        pages = {span.context.span_id: span for span in received.spans if span.name == "roomrec request"}
        for attempt in (span for span in received.spans if span.name == "GET"):
            room_sid = operations[parent_of(pages[parent_of(attempt)])]
            assert f"/{room_sid}/" in str(attributes(attempt)["url.full"])


class TestMetrics:
    async def test_requests_retries_refusals_and_records_are_counted(
        self, client: RecordingsClient, sim: Simulator, received: Received
    ) -> None:
        sim.inject(faults.Respond(503))
        sim.inject(faults.Respond(429, headers={"Retry-After": "0.01"}))
        recordings = await client.recordings(sim.room_sids[0]).to_list()
        metrics = received.metrics()
        by_status = {dict(about)["http.response.status_code"]: n for about, n in metrics["roomrec.requests"].items()}
        assert by_status == {503: 1, 429: 1, 200: 1}
        assert total(metrics["roomrec.retries"]) == 2
        assert total(metrics["roomrec.refused"]) == 1
        assert metrics["roomrec.records"] == {(("roomrec.operation", "recordings"),): len(recordings)}
        assert 0 < total(metrics["http.client.request.duration"]) < 10

    async def test_permits_in_use_and_waits_for_them_are_measured(self, sim: Simulator, received: Received) -> None:
        sim.inject(faults.StallBody(after=0, seconds=0.05))
        telemetry = Telemetry(received.tracers, received.meters)
        sampler = PermitSampler(received)
        async with RecordingsClient(
            sim.credentials,
            base_url=sim.base_url,
            limiter=RateLimiter(max_concurrency=1),
            observers=[sampler, telemetry],
        ) as client:
            await asyncio.gather(*(client.recordings(room_sid).to_list() for room_sid in sim.room_sids[:2]))
        metrics = received.metrics()
        assert sampler.permits == [1, 1]
        assert total(metrics["roomrec.limiter.permits"]) == 0
        assert 0.04 < total(metrics["roomrec.limiter.wait"]) < 10

    async def test_media_are_counted_in_bytes(
        self, client: RecordingsClient, sim: Simulator, received: Received, tmp_path: Path
    ) -> None:
        record = next(sim.recordings(sim.room_sids[0], "completed"))
        await client.download(Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0]), tmp_path)
        metrics = received.metrics()
        assert metrics["roomrec.media.bytes"] == {(("roomrec.operation", "download"),): record["size"]}
        # Requests to the object store do not count against the API's quota.
        assert sum(1 for about in metrics["roomrec.limiter.wait"] if about) == 1
        assert total(metrics["roomrec.requests"]) == 2


async def test_without_an_sdk_nothing_happens(sim: Simulator) -> None:
    async with RecordingsClient(sim.credentials, base_url=sim.base_url, observers=[Telemetry()]) as client:
        assert len(await client.gather(sim.room_sids)) == 3


async def test_requests_that_time_out_at_the_limiter_are_counted_and_its_state_is_exported() -> None:
    received, limiter = Received(), RateLimiter(1)
    telemetry = Telemetry(received.tracers, received.meters, limiter=limiter)
    async with (
        Simulator(1, 1, latency=0.6) as simulator,
        RecordingsClient(
            simulator.credentials, base_url=simulator.base_url, limiter=limiter, observers=[telemetry]
        ) as client,
    ):
        (room_sid,) = simulator.room_sids
        holding = asyncio.create_task(client.recordings(room_sid).to_list())
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(client.recordings(room_sid, timeout=0.2).to_list())
        await asyncio.sleep(0.05)
        limiter.pause(30)
        gauges = {name: values[()] for name, values in received.metrics().items() if () in values}
        with pytest.raises(TimeoutError):
            await waiting
        await holding
    assert gauges["roomrec.limiter.paused"] == pytest.approx(30, abs=0.5)
    names = ("limit", "in_flight", "waiting", "degraded")
    assert [gauges[f"roomrec.limiter.{name}"] for name in names] == [1, 1, 1, 0]
    assert sum(received.metrics()["roomrec.limiter.timeouts"].values()) == 1
    (span,) = [span for span in received.spans if "roomrec.limiter.waited_in_vain" in (span.attributes or {})]
    assert span.name == "roomrec request"
    assert span.attributes["roomrec.limiter.waited_in_vain"] == pytest.approx(0.15, abs=0.15)
