"""Text from outside that is shown: unsafe characters, lengths, and refused values."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from roomrec_async._text import safe_repr, safe_text

REPLACED = "\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("A name", id="ASCII"),
        pytest.param("Zoë & 漢字", id="other scripts"),
        pytest.param("שלום مرحبا", id="from right to left"),
        pytest.param("👩\u200d💻 e\u0301", id="joined and combining"),
        pytest.param("\xa0\u2003\u200b", id="spaces"),
        pytest.param("<b>&amp;</b>", id="markup, which is escaped elsewhere"),
        pytest.param("\U0010fffd\ufffd\ufeff", id="private use, replacement, byte order mark"),
    ],
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == text


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\x00", id="NUL"),
        pytest.param("\t", id="tab"),
        pytest.param("\n", id="line feed"),
        pytest.param("\r", id="carriage return"),
        pytest.param("\x1b", id="escape"),
        pytest.param("\x1f", id="last of C0"),
        pytest.param("\x7f", id="delete"),
        pytest.param("\x85", id="next line"),
        pytest.param("\x9b", id="control sequence introducer"),
        pytest.param("\u2028", id="line separator"),
        pytest.param("\u2029", id="paragraph separator"),
        pytest.param("\u061c", id="Arabic letter mark"),
        pytest.param("\u200e", id="left-to-right mark"),
        pytest.param("\u200f", id="right-to-left mark"),
        pytest.param("\u202e", id="right-to-left override"),
        pytest.param("\u2066", id="left-to-right isolate"),
        pytest.param("\u2069", id="pop directional isolate"),
        pytest.param("\ud800", id="first surrogate"),
        pytest.param("\udfff", id="last surrogate"),
        pytest.param("\ufffe", id="noncharacter"),
        pytest.param("\U0001ffff", id="noncharacter of another plane"),
        pytest.param("\U0010ffff", id="last code point"),
    ],
)
def test_an_unsafe_character_is_replaced(character: str) -> None:
    assert safe_text(f"a{character}{character}b") == f"a{REPLACED}{REPLACED}b"


def test_no_control_surrogate_or_bidirectional_control_is_left_of_all_of_unicode() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = safe_text(everything)
    assert len(shown) == len(everything)
    # What the Unicode database calls a control, a surrogate, a separator of lines, or a control of direction.
    kinds = {"Cc", "Cs", "Zl", "Zp"}
    directions = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    left = {
        char for char in shown if unicodedata.category(char) in kinds or unicodedata.bidirectional(char) in directions
    }
    assert left == set()
    assert shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "max_length", "shown"),
    [
        ("12345", None, "12345"),
        ("12345", 6, "12345"),
        ("12345", 5, "12345"),
        ("12345", 4, "123\u2026"),
        ("12345", 1, "\u2026"),
        ("a\nb\nc", 4, f"a{REPLACED}b\u2026"),
        ("x" * 1000, 200, "x" * 199 + "\u2026"),
    ],
)
def test_a_long_text_is_cut_and_ends_with_an_ellipsis(text: str, max_length: int | None, shown: str) -> None:
    assert safe_text(text, max_length) == shown


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n", r"'a\n'"),
        (None, "None"),
        ("x" * 78, "'" + "x" * 78 + "'"),
        ("x" * 79, "'" + "x" * 79 + "..."),
        (b"\xff" * 1000, "b'" + r"\xff" * 19 + r"\x..."),
        (10**79, "1" + "0" * 79),
        (10**5000, "a very large int"),
        (Unprintable(), "a Unprintable that cannot be shown"),
    ],
    ids=[
        "control character",
        "none",
        "as long as may be",
        "one longer",
        "bytes",
        "80 digits",
        "5001 digits",
        "no repr",
    ],
)
def test_a_refused_value_is_shown_on_one_line_and_cut(value: object, text: str) -> None:
    assert safe_repr(value) == text
