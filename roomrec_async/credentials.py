"""Credentials for the API. Their secrets are sent in one header, and shown nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import aiohttp
import attrs

from ._validate import ACCOUNT_SID, API_KEY_SID
from .errors import ConfigurationError, InvalidArgumentError

# Printable ASCII without spaces, as all secrets are: white space comes from copying, such as the newline of a file.
_PRINTABLE = re.compile(r"[!-~]+")

# Two names for each half of an API key: the one of the provider's command-line tool and that of its documentation.
_KEY_SID_NAMES = ("TWILIO_API_KEY", "TWILIO_API_KEY_SID")
_KEY_SECRET_NAMES = ("TWILIO_API_SECRET", "TWILIO_API_KEY_SECRET")

_KEY_CALL = "Credentials.api_key(account_sid, key_sid, key_secret)"
_KEY_ORDER = f"the order is {_KEY_CALL}"


@attrs.frozen(repr=False)
class Credentials:
    """Credentials for Basic authentication: an account SID with its auth token, or an API key with its secret.

    ``Credentials(account_sid, auth_token)`` is the first form, :meth:`api_key` the second, and :meth:`from_env`
    takes whichever the environment holds. ``repr`` and ``str`` show the SIDs, never the secret.

    Args:
        account_sid: the account's SID, ``AC`` and 32 hexadecimal digits.
        auth_token: the account's auth token.

    Raises:
        InvalidArgumentError: a SID is malformed, or a secret is empty, or holds white space or characters beyond ASCII.
        ConfigurationError: an argument is None, such as the value of an environment variable that is not set.
    """

    account_sid: str = attrs.field()
    # The auth token or the API key's secret. Rich and others print attrs classes by their fields, and heed repr=False.
    _auth_token: str = attrs.field(repr=False)
    # The API key's SID; None with an auth token.
    _key_sid: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.account_sid is None or self._auth_token is None:
            raise ConfigurationError("no credentials: an account SID and a secret are needed, and one of them is None")
        # Values are not repeated: people who confuse the arguments pass a secret as a SID.
        if not _matches(ACCOUNT_SID, self.account_sid):
            raise InvalidArgumentError(f"the account SID must be 'AC' and 32 hexadecimal digits{self._account_hint()}")
        if self._key_sid is not None and not _matches(API_KEY_SID, self._key_sid):
            hint = f": {_KEY_ORDER}" if _matches(API_KEY_SID, self._auth_token) else _space_hint(self._key_sid)
            raise InvalidArgumentError(f"the API key SID must be 'SK' and 32 hexadecimal digits{hint}")
        if not _matches(_PRINTABLE, self._auth_token):
            secret = "auth token" if self._key_sid is None else "API key secret"
            raise InvalidArgumentError(f"the {secret} is empty, or holds white space or characters beyond ASCII")

        for pattern, owner in ((ACCOUNT_SID, "an account"), (API_KEY_SID, "an API key")):
            if _matches(pattern, self._auth_token):
                raise InvalidArgumentError(f"the secret is the SID of {owner}: the SID comes before its secret")

    def _account_hint(self) -> str:
        """Return what was meant by a malformed account SID, after a colon; empty where that is not clear."""
        if self._key_sid is not None:
            return f": {_KEY_ORDER}" if _matches(API_KEY_SID, self.account_sid) else _space_hint(self.account_sid)
        if _matches(API_KEY_SID, self.account_sid):
            return f": that is the SID of an API key, for {_KEY_CALL}"
        if _matches(ACCOUNT_SID, self._auth_token):
            return ": it comes first, then the auth token"
        return _space_hint(self.account_sid)

    @classmethod
    def api_key(cls, account_sid: str, key_sid: str, key_secret: str) -> Credentials:
        """Return the credentials of an API key (``SK...``) and its secret, for the account that it belongs to.

        Raises:
            InvalidArgumentError: as for the class.
        """
        return cls(account_sid, key_secret, key_sid=key_sid)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Credentials:
        """Return credentials from the environment variables that the provider's own tools use.

        These are ``TWILIO_ACCOUNT_SID``, and with it ``TWILIO_API_KEY`` and ``TWILIO_API_SECRET`` if they are set,
        otherwise ``TWILIO_AUTH_TOKEN``. The key's variables may also be called ``TWILIO_API_KEY_SID`` and
        ``TWILIO_API_KEY_SECRET``. White space around a value, such as the newline of a file, does not count; an empty
        value is the same as none.

        Args:
            environ: the environment; None for that of the process.

        Raises:
            ConfigurationError: a variable is missing, half an API key for instance; the message names it.
            InvalidArgumentError: a value is malformed.
        """
        if environ is None:
            environ = os.environ
        if not isinstance(environ, Mapping):
            raise InvalidArgumentError("environ must be a mapping, such as os.environ, or left out for it")
        account_sid = _read(environ, "TWILIO_ACCOUNT_SID")
        auth_token = _read(environ, "TWILIO_AUTH_TOKEN")
        key_sid = _read(environ, *_KEY_SID_NAMES)
        key_secret = _read(environ, *_KEY_SECRET_NAMES)

        if account_sid and key_sid and key_secret:
            return cls.api_key(account_sid, key_sid, key_secret)
        # Half a key is a mistake: with the token instead, requests would have rights that nobody meant.
        if account_sid and auth_token and not key_sid and not key_secret:
            return cls(account_sid, auth_token)
        missing = _missing_variables(account_sid, auth_token, key_sid, key_secret)
        message = f"no credentials: set {' and '.join(missing)} in the environment"
        if auth_token and bool(key_sid) != bool(key_secret):
            message += ", or unset the rest of the API key to use the auth token"
        raise ConfigurationError(message)

    @property
    def username(self) -> str:
        """User name for Basic authentication: the API key's SID, or the account's."""
        return self._key_sid or self.account_sid

    @property
    def password(self) -> str:
        """Password for Basic authentication: the API key's secret, or the auth token."""
        return self._auth_token

    @property
    def authorization(self) -> str:
        """Value of the ``Authorization`` header."""
        return aiohttp.encode_basic_auth(self.username, self.password)

    def __repr__(self) -> str:
        key = f", key_sid={self._key_sid!r}" if self._key_sid else ""
        return f"Credentials({self.account_sid!r}{key}, secret hidden)"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    """Return True for a string that the pattern matches from its first to its last character."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _read(environ: Mapping[str, str], *names: str) -> str | None:
    """Return the value of a variable that has one name or several, or None if it is empty or not set.

    Raises:
        ConfigurationError: it is set to two different values.
    """
    values = {name: environ.get(name, "").strip() for name in names}
    found = {value for value in values.values() if value}
    if len(found) > 1:
        raise ConfigurationError(f"{' and '.join(values)} are set to different values: unset one of them")
    return next(iter(found), None)


def _space_hint(sid: object) -> str:
    """Return that there is white space around a SID, after a colon; empty if there is none."""
    is_padded = isinstance(sid, str) and sid != sid.strip()
    return ": there is white space around it, which .strip() removes" if is_padded else ""


def _missing_variables(
    account_sid: str | None, auth_token: str | None, key_sid: str | None, key_secret: str | None
) -> list[str]:
    """Return the variables to set. Half an API key asks for its other half, anything else for the auth token."""
    missing: list[str] = []
    if not account_sid:
        missing.append("TWILIO_ACCOUNT_SID")
    if key_sid and not key_secret:
        missing.append("TWILIO_API_SECRET")
    elif key_secret and not key_sid:
        missing.append("TWILIO_API_KEY")
    elif not auth_token and not key_sid:
        missing.append("TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and TWILIO_API_SECRET)")
    return missing
