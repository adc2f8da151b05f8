"""Timelines as HTML pages, which can play the room, and as SVG drawings. Needs the extra ``html``.

They are rendered from templates that escape every value, since participants may have typed some of them.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import cache, partial
from urllib.parse import quote

from roomrec_async._format import format_count, format_date, format_milliseconds, format_number, format_size
from roomrec_async._text import safe_repr, safe_text
from roomrec_async._views.fields import MAX_TEXT_LENGTH
from roomrec_async._views.timeline import MIN_TRACK_WIDTH, TrackFile, timeline
from roomrec_async.errors import ConfigurationError, InvalidArgumentError
from roomrec_async.models import Recording

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
except ImportError as _error:
    raise ConfigurationError("pages and drawings need jinja2: pip install 'roomrec-async[html]'") from _error


def timeline_html(
    recordings: Iterable[Recording],
    *,
    title: str,
    names: Mapping[str, str] | None = None,
    files: Mapping[str, TrackFile] | None = None,
    film: str | os.PathLike[str] | None = None,
    directory: str | os.PathLike[str] = "",
) -> str:
    """Return an HTML page that shows when each recording of a room was made, by participant.

    The page loads nothing from the network, and its Content-Security-Policy would not allow it. With a film, the page
    plays it above the lanes; without one, it plays the media files. A cursor runs along, and a click seeks. The page
    names these files relative to its own directory, and contains everything else itself.

    Tracks with a media file are placed to the millisecond. The starts of others are estimates from the dates of the
    recordings, and marked "about".

    Args:
        recordings: recordings of one room, in any order and with any status.
        title: heading of the page, such as the room's name or SID. Any text: it is escaped.
        names: names of participants by participant SID, to show instead of "Participant 1". Any text: it is escaped.
        files: media files by recording SID.
        film: path of a film of the room, as ``roomrec mux`` makes it.
        directory: directory in which the page is going to be; by default the current one.

    Raises:
        InvalidArgumentError: a film or file is on another drive than the page.
    """
    script = render_template("timeline.js")
    sources = {sid: relative_url(file.path, directory) for sid, file in (files or {}).items()}
    plays_media = film is not None or bool(sources)
    if plays_media:
        script += render_template("timeline.player.js")
    return render_template(
        "timeline.html.jinja",
        timeline=timeline(recordings, names=names, files=files),
        title=safe_text(title, MAX_TEXT_LENGTH),
        film=None if film is None else relative_url(film, directory),
        sources=sources,
        plays_media=plays_media,
        # Not escaped: the scripts are the package's own files, and no value is ever inserted into them.
        script=Markup(script),  # noqa: S704
        script_digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def timeline_svg(
    recordings: Iterable[Recording],
    *,
    title: str,
    names: Mapping[str, str] | None = None,
    files: Mapping[str, TrackFile] | None = None,
) -> str:
    """Return an SVG drawing of the same timeline, without a script, in the viewer's light or dark color scheme.

    Args:
        recordings: recordings of one room, in any order and with any status.
        title: heading of the drawing. Any text: it is escaped.
        names: as for :func:`timeline_html`.
        files: media files by recording SID; they place the tracks.
    """
    return render_template(
        "timeline.svg.jinja",
        timeline=timeline(recordings, names=names, files=files),
        title=safe_text(title, MAX_TEXT_LENGTH),
    )


def relative_url(path: str | os.PathLike[str], directory: str | os.PathLike[str]) -> str:
    """Return the URL of a file, relative to that of a page in a directory.

    Raises:
        InvalidArgumentError: they are on different drives.
    """
    try:
        relative = os.path.relpath(path, directory or os.curdir)
    except ValueError:
        raise InvalidArgumentError(f"{safe_repr(os.fspath(path))} must be on the same drive as the page") from None
    # A colon is quoted, too: "a:b.mp4" would be a URL with the scheme "a".
    return quote(os.fsencode(relative.replace(os.sep, "/")))


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
