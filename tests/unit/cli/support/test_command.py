"""The class of all commands."""

from __future__ import annotations

import click
import pytest

from roomrec_async.cli.support.command import RoomrecCommand, name_options, suggest


@pytest.fixture
def context() -> click.Context:
    group = click.Group("roomrec", params=[click.Option(["--proxy"])])
    options = [
        click.Option(["--page-size"]),
        click.Option(["--per"]),
        click.Option(["--after"]),
        click.Option(["-o", "--output"]),
    ]
    return click.Context(RoomrecCommand("list", params=options), click.Context(group), info_name="list")


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("page_size must be positive", "--page-size must be positive"),
        ("page_size: must be positive", "--page-size: must be positive"),
        ("this is for per='participant'", "this is for --per participant"),
        ("room_sid must be 'RM'", "room_sid must be 'RM'"),
        ("name='x' is none", "name='x' is none"),
    ],
)
def test_messages_name_options(context: click.Context, message: str, named: str) -> None:
    assert name_options(message, context) == named


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("--since", ". Did you mean '--after'?"),
        ("--afer", ". Did you mean '--after'?"),
        ("--until", ""),
        ("--json", ""),
        ("--proxy", ": it goes before the command, as in 'roomrec --proxy ... list'"),
    ],
)
def test_only_what_is_meant_is_suggested(context: click.Context, name: str, end: str) -> None:
    assert suggest(name, context) == end
