"""How the program ends other than well."""

from __future__ import annotations

import click


class Ended(click.ClickException):
    """The program ends with this message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class, and reads it from here
