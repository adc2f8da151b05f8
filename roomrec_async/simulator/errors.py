"""The API's refusals: the statuses, codes and bodies with which it says no."""

from __future__ import annotations

import json

_MORE_INFO = "https://www.twilio.com/docs/errors"


class RefusedError(Exception):
    """A request that the API refuses.

    Attributes:
        status: the HTTP status.
        code: the provider's error code.
        message: the provider's message.
        headers: response headers that go with it.
    """

    def __init__(self, status: int, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    @property
    def body(self) -> bytes:
        """The JSON body of the response."""
        body = {
            "code": self.code,
            "message": self.message,
            "more_info": f"{_MORE_INFO}/{self.code}",
            "status": self.status,
        }
        return json.dumps(body, separators=(",", ":")).encode()


def bad_parameter(name: str, value: str) -> RefusedError:
    """400/20001: a query parameter is not what the reference allows."""
    return RefusedError(400, 20001, f"Invalid parameter {name}: {value[:100]!r}")


def unauthenticated() -> RefusedError:
    """401/20003: no credentials, or not those of the account."""
    return RefusedError(401, 20003, "Authenticate", {"WWW-Authenticate": 'Basic realm="Twilio API"'})


def not_found(path: str) -> RefusedError:
    """404/20404: nothing has this path."""
    return RefusedError(404, 20404, f"The requested resource {path.removeprefix('/v1')} was not found")


def method_not_allowed(allow: str) -> RefusedError:
    """405/20004: the resource exists, but cannot be used with this method."""
    return RefusedError(405, 20004, "Method not allowed", {"Allow": allow})


def too_many_requests(retry_after: str | None) -> RefusedError:
    """429/20429: a quota or the concurrency limit is exceeded."""
    return RefusedError(429, 20429, "Too Many Requests", {"Retry-After": retry_after} if retry_after else None)
