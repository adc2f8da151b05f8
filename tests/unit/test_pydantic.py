"""The models in pydantic's models and in FastAPI: responses, bodies of requests, and the document of the API."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from multidict import CIMultiDict, CIMultiDictProxy
from openapi_spec_validator import validate as validate_openapi
from pydantic import BaseModel, TypeAdapter, ValidationError

from roomrec_async import (
    Codec,
    Page,
    PageMeta,
    Participant,
    Recording,
    RecordingStatus,
    Records,
    Room,
    from_dict,
    to_dict,
)
from roomrec_async._listing.resume import Position

from ..conftest import ROOM_SID, record

KNOWN = from_dict(Recording, record(1))
# What the service does not list today, and what it leaves out.
ODD = from_dict(Recording, record(2, codec="AV1", status="paused", date_created=None, links=None, size=2**40))
ROOM = Room(sid=ROOM_SID, video_codecs=(Codec.VP8, Codec("AV1")), date_created=datetime(2026, 1, 31, tzinfo=UTC))
PAGE = Page(
    Records([KNOWN, ODD]),
    PageMeta(key="recordings", page=0),
    CIMultiDictProxy(CIMultiDict({"Twilio-Request-Id": "RQ1"})),
    b'{"secret": 1}',
    Position("/v1/Rooms", "PageSize=2", None),
)


class Report(BaseModel):
    title: str
    latest: Recording | None
    by_room: dict[str, list[Recording]]
    status: RecordingStatus = RecordingStatus.COMPLETED


REPORT = Report(title="today", latest=KNOWN, by_room={ROOM_SID: [KNOWN, ODD]})
app = FastAPI()


@app.get("/recording")
async def get_recording() -> Recording:
    return KNOWN


@app.get("/recordings")
async def get_recordings() -> list[Recording]:
    return [KNOWN, ODD]


@app.get("/records")
async def get_records() -> Records[Recording]:
    return Records([KNOWN, ODD])


@app.get("/by_room")
async def get_by_room() -> dict[str, list[Recording]]:
    return {ROOM_SID: Records([KNOWN, ODD])}


@app.get("/report")
async def get_report() -> Report:
    return REPORT


@app.get("/room")
async def get_room() -> Room:
    return ROOM


@app.get("/participant")
async def get_participant() -> Participant | None:
    return Participant(identity="Zoë")


@app.get("/page")
async def get_page() -> Page[Recording]:
    return PAGE


@app.get("/any_page")
async def get_any_page() -> Page:  # type: ignore[type-arg]
    return PAGE


@app.get("/short", response_model_include={"sid", "size", "date_deleted"}, response_model_exclude_none=True)
async def get_short() -> Recording:
    return KNOWN


@app.get("/status")
async def get_status(status: RecordingStatus) -> RecordingStatus:
    return status


@app.post("/recording")
async def post_recording(recording: Recording) -> Recording:
    return recording


@app.post("/report")
async def post_report(report: Report) -> Report:
    return report


@app.get("/unannotated")
async def get_unannotated():
    return KNOWN


@app.get("/unannotated_many")
async def get_unannotated_many():
    return {"recordings": [KNOWN, ODD], "room": ROOM}


@app.get("/unannotated_page")
async def get_unannotated_page():
    return PAGE


@pytest.fixture(scope="module")
def web() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(app.openapi()))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/recording", to_dict(KNOWN)),
        ("/recordings", [to_dict(KNOWN), to_dict(ODD)]),
        ("/records", [to_dict(KNOWN), to_dict(ODD)]),
        ("/by_room", {ROOM_SID: [to_dict(KNOWN), to_dict(ODD)]}),
        ("/room", to_dict(ROOM)),
        ("/participant", to_dict(Participant(identity="Zoë"))),
        ("/short", {"sid": KNOWN.sid, "size": KNOWN.size}),
        ("/status?status=COMPLETED", "completed"),
        ("/status?status=paused", "paused"),
        (
            "/report",
            {
                "title": "today",
                "latest": to_dict(KNOWN),
                "by_room": {ROOM_SID: [to_dict(KNOWN), to_dict(ODD)]},
                "status": "completed",
            },
        ),
    ],
)
def test_a_response_has_the_values_of_to_dict(
    web: TestClient, document: dict[str, Any], path: str, expected: object
) -> None:
    response = web.get(path)
    assert (response.status_code, response.json()) == (200, expected)
    if path != "/short":  # which leaves out what the document says is there
        jsonschema.validate(response.json(), described(document, path.partition("?")[0]))


@pytest.mark.parametrize("path", ["/page", "/any_page"])
def test_a_page_is_its_records_its_metadata_and_its_token(web: TestClient, document: dict[str, Any], path: str) -> None:
    answered = web.get(path).json()
    assert answered == {
        "items": [to_dict(KNOWN), to_dict(ODD)],
        "meta": to_dict(PAGE.meta),
        "resume_token": PAGE.resume_token,
    }
    jsonschema.validate(answered, described(document, path))


def test_a_response_that_is_not_annotated_has_the_same_values(web: TestClient) -> None:
    answered = web.get("/unannotated").json()
    assert answered.pop("date_created") == "2015-07-30T20:00:00+00:00"
    assert answered == {name: value for name, value in to_dict(KNOWN).items() if name != "date_created"}
    answered = web.get("/unannotated_many").json()
    assert answered["recordings"][1] == to_dict(ODD)
    assert answered["room"]["video_codecs"] == ["VP8", "AV1"]


def test_a_page_that_is_not_annotated_says_what_to_do(web: TestClient) -> None:
    with pytest.raises(ValueError, match=r"to respond with it, annotate it as Page\[Recording\]"):
        web.get("/unannotated_page")


@pytest.mark.parametrize("recording", [KNOWN, ODD, Recording()])
def test_a_body_is_read_as_a_model(web: TestClient, recording: Recording) -> None:
    assert web.post("/recording", json=to_dict(recording)).json() == to_dict(recording)
    read = TypeAdapter(Recording).validate_python(to_dict(recording))
    assert read == recording
    assert type(read.status) is type(recording.status)


def test_a_body_may_leave_fields_out_and_have_others(web: TestClient) -> None:
    assert web.post("/recording", json={"sid": "RT1", "new": 1}).json() == to_dict(Recording(sid="RT1"))


def test_a_report_comes_back_as_it_was_sent(web: TestClient) -> None:
    sent = web.get("/report").json()
    assert web.post("/report", json=sent).json() == sent


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("size", "large", "int_parsing"),
        ("date_created", "2026-01-31T12:00:00", "timezone_aware"),
        ("date_created", "yesterday", "datetime_from_date_parsing"),
        ("links", "none", "mapping_type"),
        ("codec", 8, "string_type"),
        ("sid", ["RT1"], "string_type"),
    ],
)
def test_a_bad_body_names_the_field(web: TestClient, field: str, value: object, kind: str) -> None:
    response = web.post("/recording", json=record(1, **{field: value}))
    assert response.status_code == 422
    assert [(each["loc"], each["type"].replace("dict_type", "mapping_type")) for each in response.json()["detail"]] == [
        (["body", field], kind)
    ]


def test_a_page_cannot_be_read() -> None:
    with pytest.raises(ValidationError, match="a Page is only a response, and cannot be read"):
        TypeAdapter(Page[Recording]).validate_python({"items": [], "meta": {}, "resume_token": "x"})


# The document


def described(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of a response, with what it refers to."""
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return {**schema, "components": document["components"]}


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate_openapi(document)


def test_the_document_names_the_models(document: dict[str, Any]) -> None:
    names = {"Recording-Input", "Recording-Output", "Room", "Participant", "PageMeta", "Page_Recording_"}
    assert names <= document["components"]["schemas"].keys()
    assert described(document, "/recordings")["items"] == {"$ref": "#/components/schemas/Recording-Output"}
    assert described(document, "/page")["$ref"] == "#/components/schemas/Page_Recording_"


def test_the_document_has_the_types_of_all_fields(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    written, read = schemas["Recording-Output"], schemas["Recording-Input"]
    names = [field.name for field in dataclasses.fields(Recording)]
    assert list(written["properties"]) == list(read["properties"]) == names
    assert written["required"] == names
    assert "required" not in read
    assert written["description"].startswith("One recording of a single track")

    def kinds(name: str) -> list[object]:
        return [each.get("format") or each.get("type") for each in written["properties"][name]["anyOf"]]

    assert kinds("sid") == ["string", "null"]
    assert kinds("size") == ["integer", "null"]
    assert kinds("date_created") == ["date-time", "null"]
    assert kinds("links") == ["object", "null"]


def test_enums_are_open_in_the_document(document: dict[str, Any]) -> None:
    status = document["components"]["schemas"]["Recording-Output"]["properties"]["status"]
    for value in ("completed", "a status of tomorrow", None):
        jsonschema.validate(value, status)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(7, status)
    assert "processing" in json.dumps(status)


# pydantic alone


def test_a_model_of_pydantic_holds_the_same_object() -> None:
    assert REPORT.latest is KNOWN
    assert REPORT.by_room[ROOM_SID][1] is ODD


def test_a_model_of_pydantic_goes_through_json() -> None:
    assert Report.model_validate_json(REPORT.model_dump_json()) == REPORT
    assert Report.model_validate(REPORT.model_dump()) == REPORT
    assert REPORT.model_dump()["latest"]["date_created"] == KNOWN.date_created
    assert REPORT.model_dump(mode="json")["latest"] == to_dict(KNOWN)


def test_dates_keep_their_instant() -> None:
    date = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    adapter = TypeAdapter(Recording)
    assert adapter.validate_json(adapter.dump_json(Recording(date_created=date))).date_created == date


def test_a_list_of_records_is_one_again() -> None:
    adapter = TypeAdapter(Records[Room])
    read = adapter.validate_json(adapter.dump_json(Records([ROOM])))
    assert type(read) is Records
    assert read == [ROOM]


def test_another_model_is_refused() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Recording).validate_python(ROOM)
    with pytest.raises(ValidationError):
        TypeAdapter(Page[Recording]).validate_python([KNOWN])


def test_pydantic_is_not_imported_with_the_package() -> None:
    code = "import sys, roomrec_async.simulator; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
