"""A Telegram bot that answers ``/recordings RM...`` with what was recorded in that room.

The bot's framework owns the event loop. The client is opened and closed together with the bot, in the same loop. Try it
with the simulator and a bot token of your own::

    TELEGRAM_BOT_TOKEN=... roomrec simulate -- python examples/bot.py
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Any, TypeAlias

from telegram import Update
from telegram.ext import Application, CommandHandler, ContextTypes

from roomrec_async import InvalidArgumentError, Recording, RecordingsClient, RoomRecError

Bot: TypeAlias = Application[Any, Any, Any, Any, Any, Any]


async def open_client(bot: Bot) -> None:
    """Create the client once the bot's event loop is running."""
    bot.bot_data["client"] = RecordingsClient.from_env()


async def close_client(bot: Bot) -> None:
    """Close the client when the bot shuts down."""
    # There is none if the bot failed to start, such as with a wrong token or without an account SID.
    client: RecordingsClient | None = bot.bot_data.pop("client", None)
    if client is not None:
        await client.aclose()


async def recordings(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """Handle the command ``/recordings``."""
    if update.effective_message is not None:
        client: RecordingsClient = context.bot_data["client"]
        room_sid = context.args[0] if context.args else ""
        # Without a parse mode, Telegram does not interpret the text of the answer as markup.
        await update.effective_message.reply_text(await answer(client, room_sid))


async def answer(client: RecordingsClient, room_sid: str) -> str:
    """Return the answer to a question about a room, whatever goes wrong."""
    try:
        # Nobody waits longer than this in a chat.
        found = await client.recordings(room_sid, status="completed", timeout=20).to_list()
    except InvalidArgumentError:
        return "Which room? /recordings RM... with the 32 hexadecimal digits of its SID."
    except RoomRecError as error:
        # The message is for people; str(error), with the URL and the request ID, is for the log.
        logging.getLogger(__name__).warning("%s", error)
        return f"{error.message}."
    return summary(found)


def summary(found: list[Recording]) -> str:
    """Return the number of recordings by type, and their minutes."""
    if not found:
        return "No completed recordings in this room."

    by_type = Counter(str(recording.type or "other") for recording in found)
    types = ", ".join(f"{count} {media_type}" for media_type, count in sorted(by_type.items()))
    minutes = sum(recording.duration or 0 for recording in found) / 60
    return f"Recordings: {len(found)} ({types}), {minutes:.0f} minutes."


def main() -> None:
    """Run the bot until it is interrupted."""
    builder = Application.builder().token(os.environ["TELEGRAM_BOT_TOKEN"])
    builder = builder.post_init(open_client).post_shutdown(close_client)
    if base_url := os.environ.get("TELEGRAM_BASE_URL"):  # a Bot API server of your own
        builder = builder.base_url(f"{base_url}/bot")
    bot = builder.build()

    # Not blocking: a question about a large room does not delay the other answers.
    bot.add_handler(CommandHandler("recordings", recordings, block=False))
    bot.run_polling()


if __name__ == "__main__":
    main()
