"""The one place where the library's version is written down."""

__version__ = "0.1.0"
