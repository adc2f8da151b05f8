"""Who is calling the API. Secrets are taken in here, sent in one header, and shown nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import aiohttp
import attrs

from ._validate import ACCOUNT_SID, API_KEY_SID
from .errors import ConfigurationError, InvalidArgumentError

_PRINTABLE = re.compile(r"[!-~]+")


@attrs.frozen(repr=False)
class Credentials:
    """What Basic authentication sends: an account SID with its auth token, or an API key with its secret.

    ``Credentials(account_sid, auth_token)`` is the first form, :meth:`api_key` the second, and :meth:`from_env`
    takes whichever the environment holds. ``repr`` and ``str`` show the account and nothing else.

    Args:
        account_sid: the account, ``AC`` and 32 hexadecimal digits.
        auth_token: the account's auth token.

    Raises:
        InvalidArgumentError: a SID is malformed, or a secret is empty or contains white space.
    """

    account_sid: str = attrs.field()
    _auth_token: str = attrs.field(repr=False)  # what prints attrs classes by their fields obeys this
    _key_sid: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.account_sid is None or self._auth_token is None:
            raise ConfigurationError("no credentials: an account SID and a secret are needed, and one of them is None")
        if not _is(ACCOUNT_SID, self.account_sid):
            # The value is not repeated: people who mix the two up put the token here.
            raise InvalidArgumentError("the account SID must be 'AC' and 32 hexadecimal digits")
        if self._key_sid is not None and not _is(API_KEY_SID, self._key_sid):
            raise InvalidArgumentError("the API key SID must be 'SK' and 32 hexadecimal digits")
        if not _is(_PRINTABLE, self._auth_token):
            secret = "auth token" if self._key_sid is None else "API key secret"
            raise InvalidArgumentError(f"the {secret} is empty, or holds white space or characters beyond ASCII")

    @classmethod
    def api_key(cls, account_sid: str, key_sid: str, key_secret: str) -> Credentials:
        """Credentials of an API key (``SK...``) and its secret, for the account that it belongs to."""
        return cls(account_sid, key_secret, key_sid=key_sid)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Credentials:
        """Credentials from the environment variables that users of the API already have.

        ``TWILIO_ACCOUNT_SID`` together with ``TWILIO_API_KEY`` and ``TWILIO_API_SECRET`` where those two are set,
        otherwise with ``TWILIO_AUTH_TOKEN``.

        Raises:
            ConfigurationError: a variable is missing; the message names it.
            InvalidArgumentError: a value is malformed.
        """
        env = os.environ if environ is None else environ
        account_sid, token = env.get("TWILIO_ACCOUNT_SID"), env.get("TWILIO_AUTH_TOKEN")
        key_sid, key_secret = env.get("TWILIO_API_KEY"), env.get("TWILIO_API_SECRET")
        if account_sid and key_sid and key_secret:
            return cls.api_key(account_sid, key_sid, key_secret)
        if account_sid and token:
            return cls(account_sid, token)
        raise ConfigurationError(_what_is_missing(account_sid, key_sid, key_secret))

    @property
    def username(self) -> str:
        """The user name of Basic authentication: the API key's SID, or the account's."""
        return self._key_sid or self.account_sid

    @property
    def password(self) -> str:
        """The password of Basic authentication: the API key's secret, or the auth token."""
        return self._auth_token

    @property
    def authorization(self) -> str:
        """The value of the ``Authorization`` header."""
        return aiohttp.encode_basic_auth(self.username, self.password)

    def __repr__(self) -> str:
        key = f", key_sid={self._key_sid!r}" if self._key_sid else ""
        return f"Credentials({self.account_sid!r}{key}, secret hidden)"


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _what_is_missing(account_sid: str | None, key_sid: str | None, key_secret: str | None) -> str:
    missing = [] if account_sid else ["TWILIO_ACCOUNT_SID"]
    if key_sid:
        missing += ["TWILIO_API_SECRET"]
    elif key_secret:
        missing += ["TWILIO_API_KEY"]
    else:
        missing += ["TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and TWILIO_API_SECRET)"]
    return f"no credentials: set {' and '.join(missing)} in the environment"
