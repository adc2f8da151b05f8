"""Arguments and options that commands share, as click parses them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner

from roomrec_async.cli.support.options import (
    base_url_option,
    downloads_option,
    rooms_argument,
    window_options,
)

ROOM_SID = "RM" + "1" * 32


@click.command()
@rooms_argument
@window_options("recordings that started")
@downloads_option
@base_url_option
@click.pass_context
def command(ctx: click.Context, **values: object) -> None:
    """Keep the values."""
    ctx.obj.update(values)


def parse(*arguments: str) -> dict[str, object]:
    values: dict[str, object] = {}
    result = CliRunner().invoke(command, arguments, obj=values, env={"ROOMREC_BASE_URL": None}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return values


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, obj={})
    assert result.exit_code == 2
    return " ".join(result.output.split())


def test_rooms_are_sids_or_standard_input() -> None:
    assert parse(ROOM_SID, "-", ROOM_SID)["rooms"] == (ROOM_SID, "-", ROOM_SID)
    message = "Invalid value for ROOM: a room SID must be 'RM' and 32 hexadecimal digits, not 'RM123'"
    assert message in refusal(ROOM_SID, "RM123")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30+02:00", datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-03-01 09Z", datetime(2026, 3, 1, 9, tzinfo=UTC)),
    ],
)
def test_times_in_iso_8601_have_a_time_zone(text: str, instant: datetime) -> None:
    values = parse("--after", text, "--before", text)
    assert (values["after"], values["before"]) == (instant, instant)
    assert isinstance(values["after"], datetime)
    assert values["after"].utcoffset() == instant.utcoffset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("last week", "'last week' is not a time such as 7d, 36h, yesterday, 2026-03-01 or 2026-03-01T09:30:00Z"),
        ("2026-03-01T09:30", "for UTC write 2026-03-01T09:30:00Z, else add an offset like +02:00"),
    ],
)
def test_other_times_are_refused_with_advice(text: str, message: str) -> None:
    assert message in refusal("--after", text)


def test_defaults() -> None:
    assert parse() == {
        "rooms": (),
        "after": None,
        "before": None,
        "downloads": 8,
        "base_url": "https://video.twilio.com",
    }
