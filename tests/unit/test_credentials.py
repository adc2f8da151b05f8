"""Credentials: their sources, the header that they send, and that their secrets are shown nowhere."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import aiohttp
import attrs
import pytest
from rich.pretty import pretty_repr

from roomrec_async import (
    ConfigurationError,
    Credentials,
    InvalidArgumentError,
    RateLimiter,
    RecordingsClient,
    RetryPolicy,
    RoomRecError,
)

from ..conftest import ROOM_SID, body, page_url, record

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
KEY_SID = "SK" + "0123456789ABCDEF" * 2
TOKEN = "token-nobody-may-see"
SECRET = "secret-nobody-may-see"

BY_TOKEN = Credentials(ACCOUNT_SID, TOKEN)
BY_KEY = Credentials.api_key(ACCOUNT_SID, KEY_SID, SECRET)
both_forms = pytest.mark.parametrize("credentials", [BY_TOKEN, BY_KEY], ids=["token", "key"])


def test_an_account_with_its_token() -> None:
    assert (BY_TOKEN.account_sid, BY_TOKEN.username, BY_TOKEN.password) == (ACCOUNT_SID, ACCOUNT_SID, TOKEN)


def test_a_key_with_its_secret() -> None:
    assert (BY_KEY.account_sid, BY_KEY.username, BY_KEY.password) == (ACCOUNT_SID, KEY_SID, SECRET)


def test_the_header_of_an_account() -> None:
    # printf 'AC00000000000000000000000000000000:Aladdin' | base64
    credentials = Credentials("AC" + "0" * 32, "Aladdin")
    assert credentials.authorization == "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDpBbGFkZGlu"


def test_the_header_of_a_key() -> None:
    # printf 'SK11111111111111111111111111111111:open:sesame' | base64
    credentials = Credentials.api_key("AC" + "0" * 32, "SK" + "1" * 32, "open:sesame")
    assert credentials.authorization == "Basic U0sxMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTpvcGVuOnNlc2FtZQ=="


# The environment

ACCOUNT_ENV = {"TWILIO_ACCOUNT_SID": ACCOUNT_SID}
TOKEN_ENV = {"TWILIO_AUTH_TOKEN": TOKEN}
KEY_ENV = {"TWILIO_API_KEY": KEY_SID, "TWILIO_API_SECRET": SECRET}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param(ACCOUNT_ENV | TOKEN_ENV, BY_TOKEN, id="token"),
        pytest.param(ACCOUNT_ENV | KEY_ENV, BY_KEY, id="key"),
        pytest.param(ACCOUNT_ENV | KEY_ENV | TOKEN_ENV, BY_KEY, id="key before token"),
        pytest.param(
            ACCOUNT_ENV | {"TWILIO_API_KEY_SID": KEY_SID, "TWILIO_API_KEY_SECRET": SECRET}, BY_KEY, id="other names"
        ),
        pytest.param(
            ACCOUNT_ENV | {"TWILIO_API_KEY": KEY_SID, "TWILIO_API_KEY_SECRET": SECRET}, BY_KEY, id="a name of each kind"
        ),
        pytest.param(
            ACCOUNT_ENV | KEY_ENV | {"TWILIO_API_KEY_SID": f" {KEY_SID}\n"}, BY_KEY, id="the same key under both names"
        ),
        pytest.param(
            {"TWILIO_ACCOUNT_SID": f" {ACCOUNT_SID}\r\n", "TWILIO_AUTH_TOKEN": f"{TOKEN}\n"}, BY_TOKEN, id="newlines"
        ),
        pytest.param(
            ACCOUNT_ENV | {"TWILIO_API_KEY": f"{KEY_SID}\n", "TWILIO_API_SECRET": f"\t{SECRET} "}, BY_KEY, id="key's"
        ),
        pytest.param(ACCOUNT_ENV | TOKEN_ENV | {"TWILIO_API_KEY": "\n"}, BY_TOKEN, id="blank is not set"),
        pytest.param(
            ACCOUNT_ENV | TOKEN_ENV | {"TWILIO_API_KEY": "", "TWILIO_API_SECRET": ""}, BY_TOKEN, id="empty is not set"
        ),
    ],
)
def test_the_environment(env: dict[str, str], expected: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ACCOUNT_ENV, *TOKEN_ENV, *KEY_ENV, "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    assert Credentials.from_env(env) == expected
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert Credentials.from_env() == expected


def test_a_given_environment_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (ACCOUNT_ENV | TOKEN_ENV).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError):
        Credentials.from_env({})


@pytest.mark.parametrize(
    ("env", "missing", "there"),
    [
        pytest.param({}, {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}, set(), id="everything"),
        pytest.param(ACCOUNT_ENV, {"TWILIO_AUTH_TOKEN"}, {"TWILIO_ACCOUNT_SID"}, id="secret"),
        pytest.param(
            ACCOUNT_ENV | {"TWILIO_API_KEY": KEY_SID},
            {"TWILIO_API_SECRET"},
            {"TWILIO_ACCOUNT_SID", "TWILIO_API_KEY", "TWILIO_AUTH_TOKEN"},
            id="secret of the key",
        ),
        pytest.param(
            ACCOUNT_ENV | {"TWILIO_API_SECRET": SECRET},
            {"TWILIO_API_KEY"},
            {"TWILIO_ACCOUNT_SID", "TWILIO_API_SECRET", "TWILIO_AUTH_TOKEN"},
            id="key of the secret",
        ),
        pytest.param(
            {"TWILIO_API_KEY": KEY_SID},
            {"TWILIO_ACCOUNT_SID", "TWILIO_API_SECRET"},
            {"TWILIO_API_KEY"},
            id="only the key",
        ),
        pytest.param({"TWILIO_ACCOUNT_SID": ""}, {"TWILIO_ACCOUNT_SID"}, set(), id="empty"),
    ],
)
def test_what_is_missing_in_the_environment_is_named(env: dict[str, str], missing: set[str], there: set[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_env(env)
    words = set(str(caught.value).replace("(", " ").replace(")", " ").split())
    assert missing <= words
    assert not there & words
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("env", [KEY_ENV, TOKEN_ENV, KEY_ENV | TOKEN_ENV], ids=["key", "token", "both"])
def test_without_the_account_only_that_is_asked_for(env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_env(env)
    assert str(caught.value) == "no credentials: set TWILIO_ACCOUNT_SID in the environment"


@pytest.mark.parametrize(
    ("half", "missing"),
    [
        ({"TWILIO_API_KEY": KEY_SID}, "TWILIO_API_SECRET"),
        ({"TWILIO_API_KEY_SID": KEY_SID}, "TWILIO_API_SECRET"),
        ({"TWILIO_API_SECRET": SECRET}, "TWILIO_API_KEY"),
        ({"TWILIO_API_KEY_SECRET": SECRET}, "TWILIO_API_KEY"),
    ],
    ids=str,
)
def test_half_a_key_is_not_replaced_by_the_token(half: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^no credentials: set {missing} in .* or unset the rest of the API"):
        Credentials.from_env(ACCOUNT_ENV | TOKEN_ENV | half)


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"TWILIO_API_KEY_SID": "SK" + "9" * 32}, "TWILIO_API_KEY and TWILIO_API_KEY_SID"),
        ({"TWILIO_API_KEY_SECRET": "another-secret"}, "TWILIO_API_SECRET and TWILIO_API_KEY_SECRET"),
    ],
    ids=str,
)
def test_two_keys_are_refused_and_not_shown(env: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_env(ACCOUNT_ENV | KEY_ENV | env)
    assert str(caught.value) == f"{names} are set to different values: unset one of them"


# Refusals


def malformed(prefix: str) -> list[object]:
    return [
        pytest.param("", id="empty"),
        pytest.param(prefix + "0" * 31, id="short"),
        pytest.param(prefix + "0" * 33, id="long"),
        pytest.param(prefix + "0" * 31 + "g", id="not hexadecimal"),
        pytest.param(prefix.lower() + "0" * 32, id="lower case"),
        pytest.param("XX" + "0" * 32, id="another thing"),
        pytest.param(prefix + "0" * 32 + "\n", id="newline"),
        pytest.param(" " + prefix + "0" * 32, id="space"),
        pytest.param(TOKEN, id="the token"),
    ]


def assert_hidden(caught: pytest.ExceptionInfo[InvalidArgumentError], value: str) -> None:
    error = caught.value
    shown = str(error) + repr(error) + "".join(traceback.format_exception_only(error))
    assert value.strip() == "" or value not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("sid", malformed("AC"))
def test_a_malformed_account_sid_is_refused_and_not_shown(sid: str) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"^the account SID must be 'AC' and 32 hexadecimal digits(: there is white space around it.*)?$",
    ) as caught:
        Credentials(sid, TOKEN)
    assert_hidden(caught, sid)


@pytest.mark.parametrize("sid", malformed("SK"))
def test_a_malformed_key_sid_is_refused_and_not_shown(sid: str) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"^the API key SID must be 'SK' and 32 hexadecimal digits(: there is white space around it.*)?$",
    ) as caught:
        Credentials.api_key(ACCOUNT_SID, sid, SECRET)
    assert_hidden(caught, sid)


@pytest.mark.parametrize(
    "secret",
    ["", " ", "\n", f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN} x", f"{TOKEN}\r\nX-Header: 1", f"{TOKEN}\x00", f"{TOKEN}\xe9"],
    ids=repr,
)
def test_a_secret_that_cannot_be_one_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^the auth token is empty, or holds white space") as caught:
        Credentials(ACCOUNT_SID, secret)
    assert_hidden(caught, secret)
    with pytest.raises(InvalidArgumentError, match=r"^the API key secret is empty, or holds white space") as caught:
        Credentials.api_key(ACCOUNT_SID, KEY_SID, secret)
    assert_hidden(caught, secret)


# Secrets are not shown


@attrs.frozen
class Holder:
    credentials: Credentials


@both_forms
def test_nothing_secret_is_shown(credentials: Credentials) -> None:
    texts = [
        repr(credentials),
        str(credentials),
        f"{credentials}",
        f"{credentials!s}",
        f"{credentials!r}",
        f"{credentials!a}",
        "%s" % (credentials,),  # noqa: UP031
        repr([credentials]),
        repr({"credentials": credentials}),
        repr(Holder(credentials)),
    ]
    for text in texts:
        assert ACCOUNT_SID in text
        assert credentials.password not in text
        assert credentials.authorization.removeprefix("Basic ") not in text


def test_the_key_is_shown_and_its_secret_is_not() -> None:
    assert KEY_SID in repr(BY_KEY)
    assert KEY_SID not in repr(BY_TOKEN)
    assert "key" not in repr(BY_TOKEN)


@both_forms
def test_credentials_travel_between_processes(credentials: Credentials) -> None:
    for copied in (pickle.loads(pickle.dumps(credentials)), copy.copy(credentials), copy.deepcopy(credentials)):
        assert copied == credentials
        assert hash(copied) == hash(credentials)
        assert copied.authorization == credentials.authorization


@both_forms
def test_credentials_cannot_be_changed(credentials: Credentials) -> None:
    with pytest.raises(AttributeError):
        credentials.account_sid = "AC" + "0" * 32
    with pytest.raises(AttributeError):
        credentials.password = "x"


def test_credentials_are_equal_by_what_they_send() -> None:
    assert Credentials(ACCOUNT_SID, TOKEN) == BY_TOKEN
    assert Credentials(ACCOUNT_SID, TOKEN + "x") != BY_TOKEN
    assert Credentials.api_key(ACCOUNT_SID, KEY_SID, TOKEN) != BY_TOKEN


@pytest.mark.parametrize("make", [lambda: Credentials(None, "x"), lambda: Credentials("AC" + "0" * 32, None)])
def test_an_argument_that_is_none_is_a_configuration_error(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


def test_a_sid_in_bytes_is_refused() -> None:
    sid: Any = b"AC" + b"0" * 32
    with pytest.raises(InvalidArgumentError):
        Credentials(sid, "token")


@both_forms
def test_nothing_secret_is_shown_by_rich(credentials: Credentials) -> None:
    # rich, and with it typer's and textual's tracebacks, reads the fields of attrs classes, and not their repr.
    for shown in (credentials, [credentials], {"credentials": credentials}, Holder(credentials)):
        text = pretty_repr(shown)
        assert ACCOUNT_SID in text
        assert credentials.password not in text


@both_forms
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"status": 401, "body": b'{"code": 20003, "message": "Authenticate"}'}, id="401"),
        pytest.param({"status": 403}, id="403"),
        pytest.param({"status": 503}, id="503"),
        pytest.param({"exception": aiohttp.ServerDisconnectedError()}, id="cut off"),
        pytest.param({"exception": TimeoutError()}, id="timeout"),
        pytest.param({"body": b"<html>"}, id="no JSON"),
        pytest.param({"body": body([record(1, size="many")])}, id="a record that cannot be read"),
    ],
)
async def test_errors_and_their_pickles_hold_nothing_secret(
    service: Any, credentials: Credentials, answer: dict[str, Any]
) -> None:
    service.get(page_url("PageSize=1000"), repeat=True, **answer)
    limiter, retry = RateLimiter(None, None, None), RetryPolicy(max_attempts=2, base_delay=0)
    async with RecordingsClient(credentials, limiter=limiter, retry=retry) as client:
        with pytest.raises(RoomRecError) as caught:
            await client.recordings(ROOM_SID).to_list()
    error = caught.value
    restored = pickle.loads(pickle.dumps(error))
    texts = [pickle.dumps(error, 0).decode("latin-1"), *traceback.format_exception(error)]
    for each in (error, restored):
        texts += [str(each), repr(each), repr(vars(each)), repr(each.args)]
    assert error.resume_token is not None
    secrets = (credentials.password, credentials.authorization.removeprefix("Basic "))
    assert not [text for text in texts for secret in secrets if secret in text]
    cause: BaseException | None = error
    while cause is not None:
        assert not isinstance(cause, aiohttp.ClientError), "aiohttp's exceptions hold the request's headers"
        cause = cause.__cause__ or cause.__context__
