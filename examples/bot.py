"""A Telegram bot that tells what was recorded in a room, on ``/recordings RM...``.

The bot's framework owns the event loop; the client is opened and closed with the bot, and shares that loop. Try it
with the simulator and a bot token of your own::

    TELEGRAM_BOT_TOKEN=... roomrec simulate -- python examples/bot.py
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, TypeAlias

from telegram import Update
from telegram.ext import Application, CommandHandler, ContextTypes

from roomrec_async import InvalidArgumentError, NotFoundError, Recording, RecordingsClient, RoomRecError

Bot: TypeAlias = Application[Any, Any, Any, Any, Any, Any]


async def open_client(bot: Bot) -> None:
    bot.bot_data["client"] = RecordingsClient.from_env()


async def close_client(bot: Bot) -> None:
    # Not there if the bot could not start: a wrong token, a missing account SID.
    client: RecordingsClient | None = bot.bot_data.pop("client", None)
    if client is not None:
        await client.aclose()


async def recordings(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    if update.effective_message is not None:
        client: RecordingsClient = context.bot_data["client"]
        room_sid = context.args[0] if context.args else ""
        # Plain text, no parse mode: what a participant typed stays what it is.
        await update.effective_message.reply_text(await answer(client, room_sid))


async def answer(client: RecordingsClient, room_sid: str) -> str:
    try:
        # A chat does not wait for long.
        found = await client.recordings(room_sid, status="completed", timeout=20).to_list()
    except InvalidArgumentError:
        return "Which room? /recordings RM... with the 32 hexadecimal digits of its SID."
    except NotFoundError:
        return f"There is no room {room_sid}."
    except RoomRecError as error:
        return f"The service could not say: {type(error).__name__}. Try again later."
    return summary(found)


def summary(found: list[Recording]) -> str:
    by_type = Counter(str(recording.type or "other") for recording in found)
    minutes = sum(recording.duration or 0 for recording in found) / 60
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(by_type.items()))
    return f"Recordings: {len(found)} ({kinds}), {minutes:.0f} minutes." if found else "No finished recordings there."


def main() -> None:
    builder = Application.builder().token(os.environ["TELEGRAM_BOT_TOKEN"])
    builder = builder.post_init(open_client).post_shutdown(close_client)
    if base_url := os.environ.get("TELEGRAM_BASE_URL"):  # a Bot API server of your own
        builder = builder.base_url(f"{base_url}/bot")
    bot = builder.build()
    # Not blocking: a large room makes nobody else wait.
    bot.add_handler(CommandHandler("recordings", recordings, block=False))
    bot.run_polling()


if __name__ == "__main__":
    main()
