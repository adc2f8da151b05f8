"""Recordings, rooms and pages as values."""

from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
import pickle
from datetime import UTC, datetime

import attrs
import cattrs
import pytest

from roomrec_async import (
    Codec,
    MediaType,
    PageMeta,
    Participant,
    ParticipantStatus,
    Recording,
    RecordingStatus,
    Room,
    RoomResult,
    RoomStatus,
    RoomType,
)

URL = "https://video.twilio.com/v1/Rooms/RM1/Recordings/RT1"
MODELS = [
    pytest.param(Recording(sid="RT1", codec=Codec.VP8, links={"media": "m"}), id="Recording"),
    pytest.param(Room(sid="RM1", video_codecs=(Codec.VP8,), links={"recordings": "r"}), id="Room"),
    pytest.param(
        Participant(sid="PA1", status=ParticipantStatus.CONNECTED, links={"anonymize": "a"}), id="Participant"
    ),
    pytest.param(PageMeta(key="recordings", page=0), id="PageMeta"),
]


@pytest.mark.parametrize("model", [*MODELS, pytest.param(RoomResult("RM1", []), id="RoomResult")])
def test_models_are_frozen_and_have_no_dict(model) -> None:
    for field in attrs.fields(type(model)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(model, field.name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(model, field.name)
    with pytest.raises(AttributeError):
        model.bitrate = 1
    assert not hasattr(model, "__dict__")


@pytest.mark.parametrize("cls", [Recording, Room, Participant, PageMeta])
def test_attrs_and_the_standard_library_know_the_same_fields(cls) -> None:
    by_attrs = [(field.name, field.type, field.default, field.hash) for field in attrs.fields(cls)]
    assert by_attrs == [(field.name, field.type, field.default, field.hash) for field in dataclasses.fields(cls)]
    assert [name for name, *_ in by_attrs] == list(inspect.signature(cls).parameters)
    assert cls.__dataclass_params__.frozen


@pytest.mark.parametrize("model", MODELS)
def test_copies_of_a_model_are_equal_to_it(model) -> None:
    for copied in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model), attrs.evolve(model)):
        assert type(copied) is type(model)
        assert copied == model
        assert hash(copied) == hash(model)


@pytest.mark.parametrize("cls", [Recording, Room, Participant, PageMeta])
def test_fields_are_given_by_name_and_are_none_otherwise(cls) -> None:
    with pytest.raises(TypeError):
        cls("RT1")
    assert {getattr(cls(), field.name) for field in attrs.fields(cls)} == {None}


def test_equal_recordings_are_one_in_a_set() -> None:
    made = [Recording(sid="RT1", size=size, links={"media": media}) for size in (1, 2) for media in ("a", "b", "a")]
    assert len(set(made)) == 4
    assert set(made) == {
        Recording(sid="RT1", size=1, links={"media": "a"}),
        Recording(sid="RT1", size=1, links={"media": "b"}),
        Recording(sid="RT1", size=2, links={"media": "a"}),
        Recording(sid="RT1", size=2, links={"media": "b"}),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"sid": "RT2"},
        {"status": RecordingStatus.FAILED},
        {"size": 0},
        {"date_created": datetime(2015, 7, 30, tzinfo=UTC)},
        {"grouping_sids": {}},
        {"links": {}},
    ],
    ids="+".join,
)
def test_recordings_that_differ_in_a_field_are_different(fields: dict[str, object]) -> None:
    assert Recording(**fields) != Recording()


@pytest.mark.parametrize("model", [Recording(links={"a": ["b"]}, grouping_sids={"c": {}}), Room(links={"a": [{}]})])
def test_a_model_can_be_hashed_though_its_maps_cannot(model) -> None:
    assert {model: 1}[copy.deepcopy(model)] == 1


@pytest.mark.parametrize(
    ("links", "url", "media_url"),
    [
        pytest.param({"media": "https://x/m"}, URL, "https://x/m", id="link"),
        pytest.param({"media": "https://x/m"}, None, "https://x/m", id="link and no URL"),
        pytest.param({}, URL, URL + "/Media", id="no links"),
        pytest.param({"other": "https://x/o"}, URL, URL + "/Media", id="no such link"),
        pytest.param(None, URL, URL + "/Media", id="links null"),
        pytest.param({"media": None}, URL, URL + "/Media", id="link null"),
        pytest.param({"media": ""}, URL, URL + "/Media", id="link empty"),
        pytest.param({"media": 5}, URL, URL + "/Media", id="link number"),
        pytest.param({"media": ["https://x/m"]}, URL, URL + "/Media", id="link array"),
        pytest.param({"media": {"url": "https://x/m"}}, URL, URL + "/Media", id="link object"),
        pytest.param(None, None, None, id="nothing"),
        pytest.param({"media": 5}, "", None, id="link number and URL empty"),
    ],
)
def test_the_media_url_is_the_link_or_else_below_the_url(links, url: str | None, media_url: str | None) -> None:
    assert Recording(links=links, url=url).media_url == media_url


@pytest.mark.parametrize(
    ("grouping_sids", "participant_sid"),
    [
        pytest.param({"room_sid": "RM1", "participant_sid": "PA1"}, "PA1", id="there"),
        pytest.param({"room_sid": "RM1"}, None, id="only the room"),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param({"participant_sid": None}, None, id="SID null"),
        pytest.param({"participant_sid": 1}, None, id="SID number"),
        pytest.param({"participant_sid": ["PA1"]}, None, id="SID array"),
        pytest.param({"participant_sid": {"sid": "PA1"}}, None, id="SID object"),
    ],
)
def test_the_participant_is_one_of_the_grouping_sids(grouping_sids, participant_sid: str | None) -> None:
    assert Recording(grouping_sids=grouping_sids).participant_sid == participant_sid


@pytest.mark.parametrize("unknown", [RoomStatus("IN_PROGRESS"), RoomType("GROUP_SMALL")])
def test_a_value_that_is_spelled_like_the_name_of_another_is_unknown(unknown: RoomStatus | RoomType) -> None:
    assert not unknown.is_known
    assert unknown != RoomStatus.IN_PROGRESS


@pytest.mark.parametrize("sent", ["a\nb", "\x1b[2J", "\u202e", "\x00"], ids=ascii)
def test_an_unknown_value_is_shown_on_one_line_and_controls_no_terminal(sent: str) -> None:
    assert repr(Codec(sent)).isprintable()
    assert repr(Recording(codec=Codec(sent), status=RecordingStatus(sent))).isprintable()
    assert Codec(sent) == sent


@pytest.mark.parametrize("value", [5, None, b"VP8", ["VP8"]], ids=repr)
def test_only_strings_are_values_of_an_enum(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid Codec"):
        Codec(value)


@pytest.mark.parametrize("model", MODELS)
def test_the_functions_of_attrs_and_cattrs_work_with_a_model(model) -> None:
    cls = type(model)
    names = [field.name for field in attrs.fields(cls)]
    assert attrs.has(cls)
    assert list(attrs.asdict(model, recurse=False)) == names
    assert attrs.astuple(model, recurse=False) == tuple(getattr(model, name) for name in names)
    assert attrs.evolve(model) == model
    assert attrs.resolve_types(cls) is cls
    assert list(inspect.signature(cls).parameters) == names
    assert {parameter.kind for parameter in inspect.signature(cls).parameters.values()} == {
        inspect.Parameter.KEYWORD_ONLY
    }
    converter = cattrs.Converter()
    assert set(converter.unstructure(model)) == set(names)


def test_a_model_is_shown_with_all_its_fields() -> None:
    assert repr(PageMeta(key="rooms", page=0)) == (
        "PageMeta(key='rooms', page=0, page_size=None, url=None, first_page_url=None, previous_page_url=None, "
        "next_page_url=None)"
    )


def test_a_model_is_matched_by_its_fields() -> None:
    match Recording(sid="RT1", type=MediaType.AUDIO):
        case Recording(sid=sid, type=MediaType.AUDIO):
            assert sid == "RT1"
        case _:
            pytest.fail("not matched")


def test_models_of_different_classes_are_different() -> None:
    assert Room(sid="RM1") != Participant(sid="RM1")
    assert Room() != Participant()


def test_a_cycle_through_a_map_is_collected() -> None:
    collected: list[bool] = []

    class Canary:
        def __del__(self) -> None:
            collected.append(True)

    links: dict[str, object] = {"canary": Canary()}
    links["self"] = Recording(links=links)
    del links
    gc.collect()
    assert collected
