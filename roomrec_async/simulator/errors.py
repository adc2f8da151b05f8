"""The API's error responses: status, code and message of each."""

from __future__ import annotations

import json

# The provider documents each error code at a page below this one.
_MORE_INFO = "https://www.twilio.com/docs/errors"


class ServiceError(Exception):
    """An error response of the API.

    Attributes:
        status: HTTP status.
        code: the provider's error code.
        message: the provider's message.
        headers: further response headers.
    """

    def __init__(self, status: int, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers: dict[str, str] = headers or {}

    @property
    def body(self) -> bytes:
        """JSON body of the response."""
        body = {
            "code": self.code,
            "message": self.message,
            "more_info": f"{_MORE_INFO}/{self.code}",
            "status": self.status,
        }
        return json.dumps(body, separators=(",", ":")).encode()


def bad_parameter(name: str, value: str) -> ServiceError:
    """Return 400/20001: a query parameter has a value that the reference does not allow."""
    return ServiceError(400, 20001, f"Invalid parameter {name}: {value[:100]!r}")


def unauthenticated() -> ServiceError:
    """Return 401/20003: there are no credentials, or not those of the account."""
    return ServiceError(401, 20003, "Authenticate", {"WWW-Authenticate": 'Basic realm="Twilio API"'})


def not_found(path: str) -> ServiceError:
    """Return 404/20404: there is no resource with this path."""
    return ServiceError(404, 20404, f"The requested resource {path.removeprefix('/v1')} was not found")


def method_not_allowed(allow: str) -> ServiceError:
    """Return 405/20004: the resource exists, but does not support the method."""
    return ServiceError(405, 20004, "Method not allowed", {"Allow": allow})


def too_many_requests(retry_after: str | None) -> ServiceError:
    """Return 429/20429: a quota or the concurrency limit is exceeded."""
    headers = {"Retry-After": retry_after} if retry_after else None
    return ServiceError(429, 20429, "Too Many Requests", headers)
