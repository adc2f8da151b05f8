"""The one place where the library's version is written down."""

from typing import Final

__version__: Final = "0.1.0"
