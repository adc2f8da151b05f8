"""Errors: their classes, their messages, and what they keep when they are pickled or copied."""

from __future__ import annotations

import copy
import pickle
import re
from types import MappingProxyType

import pytest

import roomrec_async
from roomrec_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BoundsExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    DecodeError,
    DecryptionError,
    InvalidArgumentError,
    MediaError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    Recording,
    RecordingsNotReadyError,
    RequestTimeoutError,
    RoomRecError,
    RoomsFailedError,
    ServerError,
    SignatureError,
    TransportError,
    VerificationError,
)
from roomrec_async.errors import api_error_class

URL = "https://video.twilio.com/v1/Rooms/RM1/Recordings"
API_FIELDS = {
    "status": 418,
    "message": "short and stout",
    "method": "GET",
    "url": URL,
    "code": 20418,
    "more_info": "https://www.twilio.com/docs/errors/20418",
    "request_id": "RQ123",
    "retry_after": 1.5,
    "attempts": 3,
}
TRANSPORT_FIELDS = {"method": "GET", "url": URL, "attempts": 4, "transient": False}
API_ERRORS = [
    APIError,
    BadRequestError,
    AuthenticationError,
    PermissionDeniedError,
    NotFoundError,
    RateLimitError,
    ServerError,
]
TRANSPORT_ERRORS = [TransportError, ConnectionFailedError, RequestTimeoutError]
PLAIN_ERRORS = [
    RoomRecError,
    BoundsExceededError,
    PaginationError,
    MediaError,
    VerificationError,
    DecryptionError,
    SignatureError,
    InvalidArgumentError,
    ConfigurationError,
    ClientClosedError,
]


def each_error() -> list[RoomRecError]:
    """Return an error of every class, with everything that it can hold."""
    inner = NotFoundError(**{**API_FIELDS, "status": 404})
    inner.resume_token = "inner-token"
    return [
        *(cls(**API_FIELDS) for cls in API_ERRORS),
        *(cls("reset by peer", **TRANSPORT_FIELDS) for cls in TRANSPORT_ERRORS),
        DecodeError("3 where a string should be", url=URL, index=7, field="sid"),
        RoomsFailedError({"RM1": inner, "RM2": RequestTimeoutError("too slow", **TRANSPORT_FIELDS)}),
        RecordingsNotReadyError("RM1", [Recording(sid="RT1", status="processing"), Recording(sid="RT2")], 60.0),
        *(cls("a message") for cls in PLAIN_ERRORS),
    ]


def state(error: BaseException) -> object:
    """Return all that an error holds, in values that can be compared."""
    attributes = {
        name: {key: state(one) for key, one in value.items()} if name == "errors" else value
        for name, value in vars(error).items()
    }
    return type(error), str(error), attributes


each = pytest.mark.parametrize("error", each_error(), ids=lambda error: type(error).__name__)


def test_every_public_error_is_tested_here() -> None:
    public = {getattr(roomrec_async, name) for name in roomrec_async.__all__}
    errors = {value for value in public if isinstance(value, type) and issubclass(value, Exception)}
    assert {type(error) for error in each_error()} == errors


# Classes


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (300, APIError),
        (301, APIError),
        (302, APIError),
        (304, APIError),
        (307, APIError),
        (399, APIError),
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, APIError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, APIError),
        (408, APIError),
        (409, APIError),
        (410, NotFoundError),
        (418, APIError),
        (428, APIError),
        (429, RateLimitError),
        (430, APIError),
        (499, APIError),
        (500, ServerError),
        (501, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_the_class_of_a_status(status: int, cls: type[APIError]) -> None:
    assert api_error_class(status) is cls


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        *((cls, APIError) for cls in API_ERRORS),
        *((cls, TransportError) for cls in TRANSPORT_ERRORS),
        *((type(error), RoomRecError) for error in each_error()),
        (InvalidArgumentError, ValueError),
        (RequestTimeoutError, TimeoutError),
        (ClientClosedError, RuntimeError),
    ],
)
def test_an_error_is_caught_by_its_base(cls: type[Exception], base: type[Exception]) -> None:
    error = next(error for error in each_error() if type(error) is cls)
    with pytest.raises(base) as caught:
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("cls", "other"),
    [
        (RateLimitError, ServerError),
        (NotFoundError, BadRequestError),
        (APIError, TransportError),
        (TransportError, OSError),
        (ConnectionFailedError, TimeoutError),
        (ConfigurationError, ValueError),
        (DecodeError, ValueError),
        (RoomRecError, RuntimeError),
    ],
)
def test_an_error_is_not_caught_as_another(cls: type[Exception], other: type[Exception]) -> None:
    assert not issubclass(cls, other)


# Pickling and copying


@each
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("token", [None, "resume-here"])
def test_an_error_is_the_same_after_pickling(error: RoomRecError, protocol: int, token: str | None) -> None:
    error = copy.copy(error)
    error.resume_token = token
    error.add_note("a note")
    restored = pickle.loads(pickle.dumps(error, protocol))
    assert state(restored) == state(error)
    assert len(restored.args) == len(error.args)
    assert restored.resume_token == token
    assert restored.__notes__ == ["a note"]


@each
@pytest.mark.parametrize("copied_by", [copy.copy, copy.deepcopy])
def test_an_error_is_the_same_after_copying(error: RoomRecError, copied_by) -> None:
    copied = copied_by(error)
    assert copied is not error
    assert state(copied) == state(error)
    copied.resume_token = "elsewhere"
    assert error.resume_token is None, "the copy and the error share their attributes"


@pytest.mark.parametrize("cls", API_ERRORS)
@pytest.mark.parametrize("restore", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_api_error_keeps_all_its_attributes(cls: type[APIError], restore) -> None:
    error = restore(cls(**API_FIELDS))
    assert {name: getattr(error, "detail" if name == "message" else name) for name in API_FIELDS} == API_FIELDS


@pytest.mark.parametrize("cls", TRANSPORT_ERRORS)
@pytest.mark.parametrize("restore", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_transport_error_keeps_all_its_attributes(cls: type[TransportError], restore) -> None:
    error = restore(cls("reset", **TRANSPORT_FIELDS))
    assert {name: getattr(error, name) for name in TRANSPORT_FIELDS} == TRANSPORT_FIELDS
    assert error.detail == "reset"


def test_the_errors_of_rooms_keep_their_order_and_their_tokens() -> None:
    first, second = DecodeError("first"), DecodeError("second")
    first.resume_token, second.resume_token = "token-1", "token-2"
    restored = pickle.loads(pickle.dumps(RoomsFailedError({"RM2": first, "RM1": second})))
    assert [(sid, error.resume_token) for sid, error in restored.errors.items()] == [
        ("RM2", "token-1"),
        ("RM1", "token-2"),
    ]


def test_attributes_that_are_not_given_have_their_defaults() -> None:
    error = APIError(status=404, message="no", method="GET", url=URL)
    assert (error.code, error.more_info, error.request_id, error.retry_after, error.resume_token) == (None,) * 5
    assert error.attempts == 1
    unanswered = TransportError("reset", method="GET", url=URL)
    assert (unanswered.attempts, unanswered.transient, unanswered.resume_token) == (1, True, None)


# Messages for people


@each
def test_every_error_has_a_message_for_people(error: RoomRecError) -> None:
    if isinstance(error, InvalidArgumentError):
        assert error.message == str(error), "the caller has to know which argument it is"
        return
    assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9' ,:()]{9,80}", error.message)
    for secret_of_the_trade in ("http", "/", "GET", "RQ123", "short and stout", "reset by peer", "a string should be"):
        assert secret_of_the_trade not in error.message


@each
def test_the_text_for_logs_says_more_than_the_message_for_people(error: RoomRecError) -> None:
    if isinstance(error, (APIError, TransportError)):
        assert f"GET {URL}" in str(error)
        assert error.detail in str(error)
    if isinstance(error, APIError):
        assert "RQ123" in str(error)


def test_errors_of_different_classes_have_different_messages() -> None:
    # A failed connection is the transport error that there is.
    errors = [error for error in each_error() if type(error) is not ConnectionFailedError]
    assert len({error.message for error in errors}) == len(errors)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/Rooms/RM1/Recordings", "There is no such room"),
        ("/v1/Rooms/RM1/Recordings?PageSize=1000&PageToken=%2FRecordings%2FRT1", "There is no such room"),
        ("/v1/Rooms/RM1/Participants", "There is no such room"),
        ("/v1/Rooms/RM1/Recordings/RT1", "There is no such recording"),
        ("/v1/Recordings/RT1", "There is no such recording"),
        ("/v1/Rooms/RM1/Recordings/RT1/Media", "There are no media of this recording, or not yet"),
        ("/v1/Recordings/RT1/Media", "There are no media of this recording, or not yet"),
        ("/v1/Recordings", "Nothing was found"),
        ("/bucket/object", "Nothing was found"),
    ],
)
@pytest.mark.parametrize("base_url", ["https://video.twilio.com", "https://gateway.example:8443/twilio"])
def test_the_message_says_what_was_not_found(base_url: str, path: str, message: str) -> None:
    assert NotFoundError(status=404, message="no", method="GET", url=base_url + path).message == message


@pytest.mark.parametrize("restore", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_recordings_that_were_not_ready_are_kept(restore) -> None:
    listed = [Recording(sid="RT1", status="processing"), Recording(sid="RT2", status="completed")]
    error = restore(RecordingsNotReadyError("RM1", listed, 60.0))
    assert (error.room_sid, error.recordings) == ("RM1", listed)
    assert isinstance(error, TimeoutError)
    assert error.message == "1 of 2 recordings are still being processed"
    assert str(error) == f"room RM1: {error.message} after 60 s; error.recordings has what there is"


# Messages


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({}, f"GET {URL} answered HTTP 418: no", id="least"),
        pytest.param({"code": 20418}, f"GET {URL} answered HTTP 418, code 20418: no", id="code"),
        pytest.param({"code": 0}, f"GET {URL} answered HTTP 418, code 0: no", id="code zero"),
        pytest.param({"attempts": 2}, f"GET {URL} answered HTTP 418: no; after 2 attempts", id="attempts"),
        pytest.param({"request_id": "RQ1"}, f"GET {URL} answered HTTP 418: no; request id RQ1", id="request id"),
        pytest.param({"more_info": "https://x/"}, f"GET {URL} answered HTTP 418: no; see https://x/", id="more info"),
        pytest.param(
            {"code": 1, "attempts": 5, "request_id": "RQ1", "more_info": "https://x/"},
            f"GET {URL} answered HTTP 418, code 1: no; after 5 attempts; request id RQ1; see https://x/",
            id="all",
        ),
    ],
)
def test_the_message_of_an_api_error(given: dict[str, object], message: str) -> None:
    assert str(APIError(status=418, message="no", method="GET", url=URL, **given)) == message


@pytest.mark.parametrize(
    ("cls", "hint"), [(AuthenticationError, "account SID.*region of the base URL"), (RateLimitError, "share its quota")]
)
def test_the_message_of_an_api_error_ends_with_a_hint(cls: type[APIError], hint: str) -> None:
    with pytest.raises(cls, match=rf"^GET {URL} answered HTTP 418, code 20418: short.*request id RQ123.*; .*{hint}$"):
        raise cls(**API_FIELDS)


@pytest.mark.parametrize("cls", TRANSPORT_ERRORS)
def test_the_message_of_a_transport_error(cls: type[TransportError]) -> None:
    assert str(cls("reset", method="GET", url=URL)) == f"GET {URL}: reset"
    assert str(cls("reset", method="GET", url=URL, attempts=2)) == f"GET {URL}: reset (after 2 attempts)"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "odd"),
        ({"url": URL}, f"{URL}: odd"),
        ({"index": 0}, "record 0: odd"),
        ({"field": "sid"}, "field 'sid': odd"),
        ({"url": URL, "index": 3, "field": "sid"}, f"{URL}: record 3, field 'sid': odd"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_the_message_of_a_decode_error(given: dict[str, object], message: str) -> None:
    assert str(DecodeError("odd", **given)) == message


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "1 room could not be listed: RM1: no 1"),
        (3, "3 rooms could not be listed: RM1: no 1 | RM2: no 2 | RM3: no 3"),
        (4, "4 rooms could not be listed: RM1: no 1 | RM2: no 2 | RM3: no 3 | and 1 more"),
        (5, "5 rooms could not be listed: RM1: no 1 | RM2: no 2 | RM3: no 3 | and 2 more"),
    ],
)
def test_the_message_counts_the_rooms_that_failed_and_names_the_first_three(count: int, message: str) -> None:
    errors = {f"RM{number}": DecodeError(f"no {number}") for number in range(1, count + 1)}
    assert str(RoomsFailedError(errors)) == message


def test_the_errors_of_rooms_are_a_copy() -> None:
    given = {"RM1": DecodeError("no")}
    error = RoomsFailedError(given)
    given.clear()
    assert list(error.errors) == ["RM1"]


def test_the_errors_of_rooms_may_come_in_any_mapping() -> None:
    error = RoomsFailedError(MappingProxyType({"RM1": DecodeError("no")}))
    restored = pickle.loads(pickle.dumps(error))
    assert str(restored) == str(error) == "1 room could not be listed: RM1: no"
