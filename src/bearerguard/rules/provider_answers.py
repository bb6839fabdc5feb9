"""What the status and the headers of a provider's answer mean, before its body is read."""

from __future__ import annotations

from collections.abc import Mapping

from ..encoding import strict_json_object

LONGEST_PAUSE_SECONDS = 30.0

_REFUSED = (400, 401, 403)


def refuses_client(status: int, body: bytes) -> bool:
    """Whether the provider does not take our own credentials (RFC 6749, section 5.2)."""
    return status in (401, 403) or (status in _REFUSED and _error(body) == "invalid_client")


def knows_no_such_token(status: int, body: bytes) -> bool:
    """Whether the provider finds fault with the token that it was asked about, and not with us.

    RFC 7662 has it say that such a token is not active; some servers answer the error of RFC 7009 to a JWT.
    """
    return status == 400 and _error(body) == "unsupported_token_type"


def _error(body: bytes) -> object:
    try:
        return strict_json_object(body).get("error")
    except ValueError:
        return None


def pause_asked_for(status: int, headers: Mapping[str, str]) -> float:
    """For how long the provider wants to be left alone; at least a second where it says that it is busy."""
    if status not in (429, 503):
        return 0.0
    said = headers.get("retry-after", "").strip()
    if not (said.isascii() and said.isdigit()):
        return 1.0 if status == 429 else 0.0
    return min(LONGEST_PAUSE_SECONDS, max(1.0, float(said[:6])))
