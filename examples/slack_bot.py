"""A Slack bot with the command ``/recordings``, in Socket Mode: Slack needs no public address to reach it.

The client is opened and closed together with the bot, in the same event loop. Try it with the simulator and tokens of
your own, of an app with Socket Mode and the slash command ``/recordings``::

    export SLACK_BOT_TOKEN=xoxb-... SLACK_APP_TOKEN=xapp-...
    roomrec simulate --write-rooms rooms.txt -- python examples/slack_bot.py
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from roomrec_async import InvalidArgumentError, RecordingsClient, RoomRecError


def create_bot(client: RecordingsClient) -> AsyncApp:
    """Return the bot, whose commands share a client."""
    # Another base URL is for GovSlack.
    base_url = os.environ.get("SLACK_API_URL", AsyncWebClient.BASE_URL)
    bot = AsyncApp(client=AsyncWebClient(os.environ["SLACK_BOT_TOKEN"], base_url))

    @bot.command("/recordings")
    async def recordings(ack: AsyncAck, command: dict[str, str], respond: AsyncRespond) -> None:
        # Slack gives up on a command that is not acknowledged within three seconds.
        await ack()
        await respond(await answer(client, command.get("text", "").strip()))

    return bot


async def answer(client: RecordingsClient, room_sid: str) -> str:
    """Return the answer to a question about a room, whatever goes wrong."""
    try:
        # Nobody waits longer than this in a chat.
        found = await client.recordings(room_sid, status="completed", timeout=20).to_list()
    except InvalidArgumentError:
        return "Which room? `/recordings RM...` with the 32 hexadecimal digits of its SID."
    except RoomRecError as error:
        # The message is for people; str(error), with the URL and the request ID, is for the log.
        logging.getLogger(__name__).warning("%s", error)
        return f"{error.message}."
    minutes = sum(recording.duration or 0 for recording in found) / 60
    return f"{len(found)} recordings, {minutes:.0f} minutes."


async def main() -> None:
    """Run the bot until it is interrupted."""
    async with RecordingsClient.from_env() as client:
        handler = AsyncSocketModeHandler(create_bot(client), os.environ["SLACK_APP_TOKEN"])
        try:
            await handler.start_async()
        finally:
            await handler.close_async()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
