"""Timelines as self-contained HTML pages and SVG drawings. Needs the extra ``html``.

They are rendered from templates that escape every value, since participants may have typed some of them.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from functools import cache, partial

from roomrec_async._format import format_count, format_date, format_milliseconds, format_number, format_size
from roomrec_async._text import safe_text
from roomrec_async._views.fields import MAX_TEXT_LENGTH
from roomrec_async._views.timeline import MIN_TRACK_WIDTH, timeline
from roomrec_async.errors import ConfigurationError
from roomrec_async.models import Recording

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
except ImportError as error:
    raise ConfigurationError("pages and drawings need jinja2: pip install 'roomrec-async[html]'") from error


def timeline_html(recordings: Iterable[Recording], *, title: str) -> str:
    """Return an HTML page that shows when each recording of a room was made, by participant.

    The page is self-contained: it loads nothing from the network, and its Content-Security-Policy would not allow it.

    Args:
        recordings: recordings of one room, in any order and with any status.
        title: heading of the page, such as the room's name or SID. Any text: it is escaped.
    """
    script = render_template("timeline.js")
    return render_template(
        "timeline.html.jinja",
        timeline=timeline(recordings),
        title=safe_text(title, MAX_TEXT_LENGTH),
        # Not escaped: the script is the package's own file, and no value is ever inserted into it.
        script=Markup(script),  # noqa: S704
        script_digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def timeline_svg(recordings: Iterable[Recording], *, title: str) -> str:
    """Return an SVG drawing of the same timeline, without a script, in the viewer's light or dark color scheme.

    Args:
        recordings: recordings of one room, in any order and with any status.
        title: heading of the drawing. Any text: it is escaped.
    """
    return render_template("timeline.svg.jinja", timeline=timeline(recordings), title=safe_text(title, MAX_TEXT_LENGTH))


def render_template(name: str, **values: object) -> str:
    """Return a template of ``templates/``, rendered with these values."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("roomrec_async.integrations", "templates"),
        # Always, not by file extension: a template with an unexpected name must not switch escaping off.
        autoescape=True,
        # A misspelt variable is an error instead of an empty text.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "format_count": format_count,
        "format_date": format_date,
        "format_milliseconds": format_milliseconds,
        "format_number": format_number,
        "format_size": format_size,
        "min_track_width": MIN_TRACK_WIDTH,
        "safe_text": partial(safe_text, max_length=MAX_TEXT_LENGTH),
    }
    return environment
