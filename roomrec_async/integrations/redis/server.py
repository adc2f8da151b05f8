"""The connection to Redis: whose client it is, how the script gets there, and what its errors mean."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Final, Protocol, TypeAlias, cast
from urllib.parse import parse_qsl

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from yarl import URL

from roomrec_async.errors import ConfigurationError, InvalidArgumentError

Reply: TypeAlias = Sequence[bytes | str | int]

# Errors after which Redis counts as unavailable.
REDIS_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
# Seconds for a command, including connecting and one retry: a connection that was idle may be dead.
COMMAND_TIMEOUT: Final = 1.0

_SCRIPT: Final = files("roomrec_async.integrations.redis").joinpath("script.lua").read_text(encoding="utf-8")
# Redis knows scripts by their SHA-1.
_SCRIPT_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

_MAX_REASON_LENGTH: Final = 200
_DATABASE_PATH: Final = re.compile(r"/?\d*/?")
# The beginnings of replies that say that the database does not exist.
_WRONG_DATABASE: Final = ("DB index is out of range", "invalid DB index", "SELECT is not allowed in cluster mode")
_NO_RIGHT_IN_SCRIPT: Final = ("can't run this command", "NOPERM")
_URL_EXPECTED: Final = (
    "url must be a Redis URL, such as redis://host:6379/0; percent-encode special characters in a password"
)


class Client(Protocol):
    """A client of redis-py: ``redis.asyncio.Redis``, one of a ``Sentinel``, or ``RedisCluster``."""

    @property
    def execute_command(self) -> Callable[..., Awaitable[object]]:
        """Sends a command and returns its reply. The signatures of redis-py's clients and versions differ."""

    async def aclose(self) -> None:
        """Close the connections."""


class Server:
    """Runs the script on Redis.

    Args:
        url: the URL of Redis, or None to use the client.
        client: a client of the user's own, which is never closed.

    Attributes:
        address: the address of Redis without credentials, for messages.
        has_answered: True once the script ran: from then on, what Redis refuses is no mistake of the settings.
    """

    def __init__(self, url: str | None, client: Client | None) -> None:
        self._url = url
        self.address: str
        self._client, self.address = (client, _describe(client)) if client is not None else create_client(url)
        self._is_lent = client is not None
        # Clients that were replaced; commands may be under way on their connections.
        self._former: list[Client] = []
        self._looked_for_cluster = False
        self.has_answered: bool = False

    @property
    def can_listen(self) -> bool:
        """True if a command that waits does not hold up the others, as it would on the only connection."""
        return not getattr(self._client, "single_connection_client", False)

    async def run(self, *words: str | int) -> Reply:
        """Run the script, and once more if this reaches another server or another connection.

        Raises:
            RedisError, OSError, TimeoutError: Redis is unavailable, or refuses.
            ConfigurationError: the user lacks a right; or Redis refuses because of another mistake in the settings,
                and has never answered before.
        """
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                client = self._client
                try:
                    reply = await evaluate(client, words)
                except ResponseError as error:
                    if not await self._find_primary(client, error):
                        raise
                    reply = await evaluate(self._client, words)
        except REDIS_ERRORS as error:
            may_be_mistake = not self.has_answered or lacks_right(error)
            if may_be_mistake and (mistake := self._explain_mistake(error)):
                raise mistake from None
            raise
        except RuntimeError as error:
            raise self._unusable(error) from error
        self.has_answered = True
        return cast("Reply", reply)

    async def wait_for_item(self, key: str, seconds: float) -> None:
        """Wait until there is an item in a list, and remove it, for so many seconds at most.

        Raises:
            RedisError, OSError, TimeoutError: Redis is unavailable, or refuses.
            ConfigurationError: the user lacks the right.
        """
        try:
            async with asyncio.timeout(seconds + COMMAND_TIMEOUT):
                await self._client.execute_command("BLPOP", key, f"{seconds:.3f}")
        except NoPermissionError as error:
            raise self._missing_right(error) from None
        except RuntimeError as error:
            raise self._unusable(error) from error

    async def aclose(self) -> None:
        """Close the connections, unless the client is lent."""
        if not self._is_lent:
            for client in (self._client, *self._former):
                await client.aclose()

    async def _find_primary(self, client: Client, error: Exception) -> bool:
        """Return True if the next command goes to the primary: it has moved, and the client led to where it was."""
        if isinstance(error, MovedError):
            if self._url is None:
                raise ConfigurationError(
                    f"{self.address} is a node of a Redis Cluster: give a redis.asyncio.RedisCluster"
                ) from None
            self._replace(client, RedisCluster.from_url(self._url))
            return True
        if not is_read_only(error):
            return False
        # Idle connections only: others may be using theirs. A name, or a proxy, leads to the new primary by now.
        if (pool := getattr(client, "connection_pool", None)) is not None:
            await pool.disconnect(inuse_connections=False)
        # Of a client with a single one, which connects again by itself.
        if (connection := getattr(client, "connection", None)) is not None:
            await connection.disconnect()
        return True

    async def use_cluster(self) -> None:
        """Use the Redis Cluster that the URL of one of its nodes leads to: a client of the node would end with it."""
        if self._looked_for_cluster or self._url is None:
            return
        self._looked_for_cluster = True
        client = self._client
        cluster = RedisCluster.from_url(self._url)
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                await cluster.initialize()
        except REDIS_ERRORS:
            # As behind a proxy, where the addresses of the nodes lead nowhere.
            await cluster.aclose()
        else:
            self._replace(client, cluster)

    def _replace(self, client: Client, cluster: RedisCluster) -> None:
        # Others may have met the same reply before.
        if self._client is client:
            self._former.append(client)
            self._client = cluster

    def _explain_mistake(self, error: Exception) -> ConfigurationError | None:
        """Return the error for what Redis refuses because of the settings, or None if it is unavailable."""
        reason = format_reason(error)
        if lacks_right(error):
            return self._missing_right(error)
        if isinstance(error, (AuthenticationError, AuthorizationError, AuthenticationWrongNumberOfArgsError)):
            advice = "check the user and the password"
        elif reason.startswith(_WRONG_DATABASE):
            advice = "check the number of the database at the end of the URL"
        elif is_certificate_error(error):
            advice = "check the certificate of the server, and ssl_ca_certs"
        else:
            return None
        return ConfigurationError(f"Redis at {self.address} refuses: {reason}; {advice}")

    def _unusable(self, error: Exception) -> ConfigurationError:
        """Return the error for a client that cannot be used, such as one of another event loop."""
        return ConfigurationError(
            f"the client of Redis at {self.address} cannot be used here: {format_reason(error)}; "
            "one of redis-py works only in the event loop that it was first used in"
        )

    def _missing_right(self, error: Exception) -> ConfigurationError:
        advice = "grant what the documentation of RedisRateLimiter lists"
        return ConfigurationError(f"Redis at {self.address} refuses: {format_reason(error)}; {advice}")


async def evaluate(client: Client, words: Sequence[str | int]) -> object:
    """Run the script, which Redis may not have yet, and return its reply."""
    try:
        return await client.execute_command("EVALSHA", _SCRIPT_SHA, *words)
    except NoScriptError:
        pass
    # Redis is new, was restarted, or its scripts were flushed. A user may be allowed one way only.
    try:
        await client.execute_command("SCRIPT LOAD", _SCRIPT)
    except NoPermissionError:
        return await client.execute_command("EVAL", _SCRIPT, *words)
    return await client.execute_command("EVALSHA", _SCRIPT_SHA, *words)


def is_read_only(error: Exception) -> bool:
    """Return True if a server refused to write, because it is a replica by now."""
    # Redis 6 has no class of its own for what a script meets.
    return isinstance(error, ReadOnlyError) or "READONLY You can't write" in str(error)


def lacks_right(error: Exception) -> bool:
    """Return True for what Redis refuses because the user may not run a command, alone or in a script.

    That lasts until somebody changes it, though other commands work: nothing would ever start.
    """
    # The texts for a command in a script, of Redis 7 and of Redis 6, have no class of their own.
    return isinstance(error, NoPermissionError) or any(text in str(error) for text in _NO_RIGHT_IN_SCRIPT)


def is_certificate_error(error: BaseException | None) -> bool:
    """Return True for an error of which the cause is a certificate that is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def create_client(url: object) -> tuple[Client, str]:
    """Return the client, which does not connect yet, and the address of Redis without credentials.

    Raises:
        InvalidArgumentError: it is no Redis URL, or its password is ambiguous. No part of it is shown.
    """
    try:
        if not isinstance(url, str) or is_ambiguous(url):
            raise ValueError
        parsed = URL(url)
        if parsed.scheme != "unix" and not _DATABASE_PATH.fullmatch(parsed.path):
            raise ValueError
        client = Redis.from_url(url, retry=Retry(NoBackoff(), 1))
        host = f"{parsed.host}:{parsed.port or 6379}" if parsed.host else parsed.path
    except (ValueError, TypeError, AttributeError):
        # Their messages are not repeated: they can quote a part of the URL, which can be the password.
        raise InvalidArgumentError(_URL_EXPECTED) from None
    return client, f"{parsed.scheme}://{host}"


def is_ambiguous(url: str) -> bool:
    """Return True for a URL with a password that reads as another part of it, because it holds an ``@`` or a ``/``."""
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    path, _, query = tail.partition("?")
    if authority.count("@") > 1 or "@" in path or "#" in tail:
        return True
    if scheme in {"redis", "rediss"} and not authority.rpartition("@")[2]:
        return True
    pairs = parse_qsl(query, keep_blank_values=True)
    return "@" in query and not all("@" not in value or name in {"username", "password"} for name, value in pairs)


def _describe(client: Client) -> str:
    """Return the address of a client of the user's own, without credentials, as far as it is known."""
    pool = getattr(client, "connection_pool", None)
    options = getattr(pool, "connection_kwargs", {})
    if service := getattr(pool, "service_name", None):
        return f"the primary of {service!r}"
    if path := options.get("path"):
        return f"unix://{path}"
    if "host" in options:
        return f"redis://{options['host']}:{options.get('port', 6379)}"
    nodes = getattr(client, "get_default_node", lambda: None)()
    return "the Redis Cluster" if nodes is None else f"the Redis Cluster at {nodes.name}"


def format_reason(error: Exception) -> str:
    """Return the first line of an error's message, cut to a length for one log line."""
    message = str(error)
    if isinstance(error, TimeoutError) and not message:
        return f"no answer within {COMMAND_TIMEOUT:g} s"
    lines = message.splitlines() or [type(error).__name__]
    return lines[0][:_MAX_REASON_LENGTH]
