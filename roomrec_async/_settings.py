"""Checks of a client's settings when it is made: what is of the wrong kind is refused, with what was meant."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from ssl import SSLContext
from typing import Final

import aiohttp

from ._observe import LOGGER
from ._validate import check_instance, check_match, has_methods, is_number, refusal
from .credentials import Credentials
from .errors import ConfigurationError, InvalidArgumentError
from .limits import RateLimiter
from .protocols import Decryption, Observer

# Printable ASCII, as product names and comments in a header are.
_USER_AGENT: Final = re.compile(r"[!-~]+( [!-~]+)*")
_LIMITER_METHODS: Final = ("read", "write", "pause")
_OBSERVER_METHODS: Final = ("started", "ended")
# The variables of the provider's own libraries that choose another host for its other products.
_REGION_VARIABLES: Final = ("TWILIO_REGION", "TWILIO_EDGE")


def check_credentials(credentials: object) -> Credentials:
    """Return the credentials.

    Raises:
        ConfigurationError: there are none.
        InvalidArgumentError: they are something else, which is not shown: it may be a secret.
    """
    if isinstance(credentials, Credentials):
        return credentials
    how = "Credentials(account_sid, auth_token), or use RecordingsClient.from_env() to read them from the environment"
    if credentials is None:
        raise ConfigurationError(f"no credentials: give {how}")
    raise InvalidArgumentError(f"credentials must be Credentials, not {_kind(credentials)}: give {how}")


def check_session(session: object) -> None:
    """Check the session that a user gave to a client.

    Raises:
        InvalidArgumentError: it is not one of aiohttp.
    """
    if session is None or isinstance(session, aiohttp.ClientSession):
        return
    hint = "leave it out for one of the client's own"
    if session is aiohttp.ClientSession:
        hint = "create one: aiohttp.ClientSession()"
    raise InvalidArgumentError(f"{refusal('session', 'an aiohttp.ClientSession', session)}: {hint}")


def check_limiter(limiter: object) -> None:
    """Check a limiter.

    Raises:
        InvalidArgumentError: it is not one, but a number, for instance.
    """
    if limiter is None or has_methods(limiter, _LIMITER_METHODS):
        return
    hint = "see roomrec_async.protocols.Limiter"
    if is_number(limiter):
        hint = f"RateLimiter(max_concurrency={limiter}) or RateLimiter(reads_per_second={limiter})"
    elif limiter is RateLimiter:
        hint = "create one: RateLimiter()"
    elif isinstance(limiter, asyncio.Semaphore):
        hint = "RateLimiter(max_concurrency=...) has a semaphore of its own"
    raise InvalidArgumentError(f"{refusal('limiter', 'a RateLimiter or another Limiter', limiter)}: {hint}")


def check_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """Return the observers.

    Raises:
        InvalidArgumentError: one of them does not have the methods of an observer, or they are not in a list.
    """
    if has_methods(observers, _OBSERVER_METHODS):
        raise InvalidArgumentError("observers must be a list: put the observer into one, as in observers=[observer]")
    if isinstance(observers, (str, bytes)) or not isinstance(observers, Iterable):
        raise InvalidArgumentError(refusal("observers", "a list of objects with started() and ended()", observers))
    checked = tuple(observers)
    for observer in checked:
        if not has_methods(observer, _OBSERVER_METHODS):
            hint = ": give an object of the class" if isinstance(observer, type) else ": see roomrec_async.Observer"
            expected = "objects with the methods started(activity) and ended(activity)"
            raise InvalidArgumentError(f"{refusal('observers', expected, observer)}{hint}")
    return checked


def check_decryption(decryption: Decryption | None) -> Decryption | None:
    """Return what decrypts media, or None.

    Raises:
        InvalidArgumentError: it is something else, which is not shown: it may be a private key.
    """
    if decryption is None or has_methods(decryption, ("decryptor",)):
        return decryption
    raise InvalidArgumentError(
        f"decryption must be a Decryption, not {_kind(decryption)}: for instance "
        "roomrec_async.integrations.decryption.PrivateKey(...) of a key in PEM"
    )


def check_session_settings(
    session: aiohttp.ClientSession | None, trace_configs: Sequence[aiohttp.TraceConfig], ssl: SSLContext | None
) -> None:
    """Check the settings of the client's own session, which exclude another one.

    Raises:
        InvalidArgumentError: one of them is of the wrong kind.
        ConfigurationError: they are given together with a session.
    """
    check_session(session)
    check_instance("ssl", ssl, SSLContext, "ssl.create_default_context(cafile='ca.pem')")
    is_list = isinstance(trace_configs, Collection) and not isinstance(trace_configs, (str, bytes, Mapping))
    if not is_list or not all(isinstance(each, aiohttp.TraceConfig) for each in trace_configs):
        raise InvalidArgumentError(refusal("trace_configs", "a list of aiohttp.TraceConfig", trace_configs))
    if session is not None and (trace_configs or ssl is not None):
        name = "trace_configs" if trace_configs else "ssl"
        raise ConfigurationError(f"{name} belongs to the session: give it to the one you created")


def check_user_agent(user_agent: str | None) -> str | None:
    """Return what is added to the User-Agent, such as ``my-app/1.2``, or None.

    Raises:
        InvalidArgumentError: it could not be sent in a header.
    """
    if user_agent is None:
        return None
    return check_match("user_agent", user_agent, _USER_AGENT, "printable ASCII such as 'my-app/1.2'")


class _Warned:
    """What this process has logged once already."""

    of_region = False


def warn_of_region(environ: Mapping[str, str]) -> None:
    """Log, once, that the variables for regions and edges do not choose the host of Video."""
    found = [name for name in _REGION_VARIABLES if environ.get(name, "").strip()]
    if not found or _Warned.of_region:
        return
    _Warned.of_region = True
    LOGGER.warning(
        "%s not used: the address of Video is not made of regions and edges; to use another one, give base_url or "
        "set ROOMREC_BASE_URL",
        f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'}",
    )


def _kind(value: object) -> str:
    """Return what a value is, without the value itself."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"
