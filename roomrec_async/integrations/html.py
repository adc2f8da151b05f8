"""Pages and drawings that stand alone, made of templates: whatever somebody typed is escaped. Extra ``html``."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, partial

from roomrec_async._text import safe_text
from roomrec_async._views.timeline import MAX_TEXT_LENGTH, NARROWEST, clock, timeline
from roomrec_async.errors import ConfigurationError
from roomrec_async.models import Recording

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
except ImportError as error:
    raise ConfigurationError("pages and drawings need jinja2: pip install 'roomrec-async[html]'") from error


def timeline_html(recordings: Iterable[Recording], *, title: str) -> str:
    """A page that shows when each recording of a room was made, by participant.

    The page needs nothing but itself: it asks no network for anything, and its Content-Security-Policy does not let it.

    Args:
        recordings: the recordings of one room, in any order and with any status.
        title: what the page is called, such as the room's name or SID. Any text: it is escaped.
    """
    script = rendered("timeline.js")
    return rendered(
        "timeline.html.jinja",
        timeline=timeline(recordings),
        title=safe_text(title, MAX_TEXT_LENGTH),
        # The package's own, to be written as it is: what people typed is never in it.
        script=Markup(script),  # noqa: S704
        script_digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def timeline_svg(recordings: Iterable[Recording], *, title: str) -> str:
    """A drawing of the same in SVG, light or dark as the viewer prefers: a file of its own, without a script.

    Args:
        recordings: the recordings of one room, in any order and with any status.
        title: what the drawing is called. Any text: it is escaped.
    """
    return rendered("timeline.svg.jinja", timeline=timeline(recordings), title=safe_text(title, MAX_TEXT_LENGTH))


def rendered(template: str, **values: object) -> str:
    """A template of ``templates/`` with these values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("roomrec_async.integrations", "templates"),
        # Whatever the file is called: a forgotten ending must not switch escaping off.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "shown": partial(safe_text, max_length=MAX_TEXT_LENGTH), "utc": _in_utc}
    environment.globals["narrowest"] = NARROWEST
    return environment


def _in_utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
