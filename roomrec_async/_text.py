"""Text from outside, made safe to show in messages, logs, tables, pages and terminals."""

from __future__ import annotations

import re
from typing import Final

# Characters of a refused value in an error message.
_MAX_REPR_LENGTH: Final = 80

# Control characters steer terminals and break lines. Bidirectional ones reverse or isolate the text around them, so
# that a name could rearrange the words beside it. Surrogates cannot be written as UTF-8, and XML has no noncharacters.
_CONTROLS: Final = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_BIDIRECTIONAL: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SURROGATES: Final = "\ud800-\udfff"
_NONCHARACTERS: Final = "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
# Compiled on first use, by re: so many ranges take as long as importing a dozen small modules.
_UNSAFE: Final = f"[{_CONTROLS}{_BIDIRECTIONAL}{_SURROGATES}{_NONCHARACTERS}]"


def safe_text(text: str, max_length: int | None = None) -> str:
    """Return untrusted text with each unsafe character replaced by U+FFFD, cut to ``max_length`` characters.

    The result still has to be escaped for the format that it is put into, such as HTML.

    Args:
        text: the text.
        max_length: maximum number of characters, with the ellipsis that ends a text that was cut; None for no limit.
    """
    if max_length is not None and len(text) > max_length:
        text = f"{text[: max_length - 1]}\N{HORIZONTAL ELLIPSIS}"
    return re.sub(_UNSAFE, "\N{REPLACEMENT CHARACTER}", text)


def safe_repr(value: object) -> str:
    """Return the repr of a refused value, cut to 80 characters, for an error message."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  the value, and so its repr, is anybody's
        # By default, Python refuses to print integers of more than 4300 digits.
        text = f"a very large {type(value).__name__}"
        if not isinstance(value, int):
            text = f"a {type(value).__name__} that cannot be shown"
    if len(text) <= _MAX_REPR_LENGTH:
        return text
    return f"{text[:_MAX_REPR_LENGTH]}..."
