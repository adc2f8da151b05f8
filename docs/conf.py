"""Sphinx' settings. The reference is made of the docstrings, and nothing is fetched: it builds without a network."""

from __future__ import annotations

from sphinx.application import Sphinx

from roomrec_async import __version__

project = "roomrec_async"
author = "The roomrec_async contributors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"roomrec_async {version}"
html_show_sourcelink = False
html_show_copyright = False

myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

nitpicky = True
# Names of other projects, whose inventories cannot be fetched everywhere; and what docstrings name in types of ours
# that are private: they have no page.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(aiohttp|asyncio|click|collections|concurrent|contextlib|cryptography|datetime|decimal|distributed)\..*",
    ),
    (
        "py:.*",
        r"(enum|functools|http|json|logging|msgspec|multidict|obstore|opentelemetry|os|pathlib|pyarrow|pytest)\..*",
    ),
    ("py:.*", r"(random|redis|rich|ssl|types|typing|urllib|yarl)\..*"),
    ("py:.*", r"roomrec_async\.(.*\.)?_[a-z].*"),
    ("py:.*", r"roomrec_async\.(integrations|simulator)\.\w+\.\w+\.?\w*"),
    ("py:class", r"roomrec_async\.models\.Model"),
    ("py:class", r"_pytest\..*|Key|Client|CIMultiDictProxy|MeterProvider|TracerProvider|ObservableLimiter"),
    ("py:func", r"time\.perf_counter"),
]
# Reports have an attribute `bytes`; where a signature names the type, there is nothing to decide.
suppress_warnings = ["ref.python"]


def start_with_a_comment(
    _app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Keep napoleon from taking the beginning of an attribute's docstring, up to a colon, for its type."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Register the hook, before that of napoleon."""
    app.connect("autodoc-process-docstring", start_with_a_comment, priority=400)
