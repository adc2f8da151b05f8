"""``roomrec completion``: print the script that lets a shell complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import ExitCode

_EXAMPLES: Final = """\b
Examples:
  eval "$(roomrec completion bash)"
  roomrec completion zsh > _roomrec
  roomrec completion fish > roomrec.fish
"""

# The variable with which the script asks the command for completions: click's name for it.
_VARIABLE: Final = "_ROOMREC_COMPLETE"


@click.command(cls=RoomrecCommand, epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that lets a shell complete commands and options with the Tab key.

    Write it to where the shell finds it, or load it in one shell alone, as in the first example.

    bash: ~/.local/share/bash-completion/completions/roomrec

    zsh: a file _roomrec in a directory of $fpath

    fish: ~/.config/fish/completions/roomrec.fish
    """
    generator = get_completion_class(shell)
    if generator is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(generator(context.find_root().command, {}, "roomrec", _VARIABLE).source())
    return ExitCode.SUCCESS
