"""A Discord bot with the command ``/recordings``: the client is opened and closed together with the bot.

Try it with the simulator and a bot token of your own::

    DISCORD_BOT_TOKEN=... roomrec simulate --write-rooms rooms.txt -- python examples/discord_bot.py
"""

from __future__ import annotations

import logging
import os

import discord
from discord import app_commands

from roomrec_async import InvalidArgumentError, NotFoundError, RecordingsClient, RoomRecError


class Bot(discord.Client):
    """The bot, and the client that all its commands share."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.default())
        self.tree = app_commands.CommandTree(self)
        self.recordings_client = RecordingsClient.from_env()

    async def setup_hook(self) -> None:
        """Announce the commands once the bot has logged in."""
        self.tree.add_command(recordings)
        await self.tree.sync()

    async def close(self) -> None:
        """Close both connections, to Discord and to the service."""
        await super().close()
        await self.recordings_client.aclose()


@app_commands.command(description="What was recorded in a room")
async def recordings(interaction: discord.Interaction[Bot], room_sid: str) -> None:
    """Handle the command ``/recordings``."""
    # Discord gives up on a command that does not respond within three seconds.
    await interaction.response.defer(thinking=True)
    text = await answer(interaction.client.recordings_client, room_sid)
    await interaction.followup.send(text, allowed_mentions=discord.AllowedMentions.none())


async def answer(client: RecordingsClient, room_sid: str) -> str:
    """Return the answer to a question about a room, whatever goes wrong."""
    try:
        found = await client.recordings(room_sid, status="completed", timeout=20).to_list()
    except InvalidArgumentError:
        return "That is no SID of a room: RM and 32 hexadecimal digits."
    except NotFoundError:
        return f"There is no room {room_sid}."
    except RoomRecError as error:
        # The message is for people; str(error), with the URL and the request ID, is for the log.
        logging.getLogger(__name__).warning("%s", error)
        return f"{error.message}."
    minutes = sum(recording.duration or 0 for recording in found) / 60
    return f"{len(found)} recordings, {minutes:.0f} minutes."


if __name__ == "__main__":
    Bot().run(os.environ["DISCORD_BOT_TOKEN"])
