"""Checks of a client's settings; those of the wrong kind are in test_mistakes.py."""

from __future__ import annotations

import logging

import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError, RecordingsClient, _settings

from ..conftest import ACCOUNT_SID, AUTH_TOKEN

ENVIRON = {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": AUTH_TOKEN}


@pytest.fixture(autouse=True)
def _nothing_was_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_settings._Warned, "of_region", False)


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"TWILIO_REGION": "ie1"}, "TWILIO_REGION is"),
        ({"TWILIO_EDGE": "dublin"}, "TWILIO_EDGE is"),
        ({"TWILIO_REGION": "ie1", "TWILIO_EDGE": "dublin"}, "TWILIO_REGION and TWILIO_EDGE are"),
    ],
)
def test_a_region_is_said_once_to_choose_no_address(
    caplog: pytest.LogCaptureFixture, variables: dict[str, str], names: str
) -> None:
    with caplog.at_level(logging.WARNING, "roomrec_async"):
        for _ in range(3):
            RecordingsClient.from_env({**ENVIRON, **variables})
    (logged,) = caplog.records
    assert logged.getMessage() == (
        f"{names} not used: the address of Video is not made of regions and edges; to use another one, give base_url "
        "or set ROOMREC_BASE_URL"
    )
    assert "ie1" not in logged.getMessage()


@pytest.mark.parametrize(
    ("variables", "base_url"),
    [
        ({}, None),
        ({"TWILIO_REGION": " ", "TWILIO_EDGE": ""}, None),
        ({"TWILIO_REGION": "ie1", "ROOMREC_BASE_URL": "https://gateway.example"}, None),
        ({"TWILIO_REGION": "ie1"}, "https://gateway.example"),
    ],
)
def test_where_an_address_is_given_or_no_region_nothing_is_said(
    caplog: pytest.LogCaptureFixture, variables: dict[str, str], base_url: str | None
) -> None:
    RecordingsClient.from_env({**ENVIRON, **variables}, base_url=base_url)
    assert not caplog.records


@pytest.mark.parametrize("given", ["my-app/1.2", "my-app/1.2 (+https://example.com; nightly)"])
def test_names_of_programs(given: str) -> None:
    assert _settings.check_user_agent(given) == given
    assert _settings.check_user_agent(None) is None


@pytest.mark.parametrize("given", [" my-app", "my-app ", "my  app", "m\u00fc/1", "a\tb", "a\nb", "\x7f", 12])
def test_what_could_not_be_sent_in_a_header_is_no_name(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="user_agent must be printable ASCII"):
        _settings.check_user_agent(given)  # type: ignore[arg-type]


def test_credentials_are_never_shown() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        _settings.check_credentials(AUTH_TOKEN)
    assert AUTH_TOKEN not in str(refused.value)
    with pytest.raises(ConfigurationError):
        _settings.check_credentials(None)
