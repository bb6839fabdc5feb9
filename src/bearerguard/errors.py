"""Every way in which bearerguard says no.

BearerguardError
├── AuthError                  the caller's token; answered 400, 401 or 403
│   ├── MissingToken           401, no token was sent
│   ├── InvalidRequest         400, the request carries the token in a wrong way
│   ├── InvalidToken           401, the token is not good
│   │   ├── TokenExpired
│   │   ├── TokenRevoked
│   │   └── TokenReplayed
│   ├── InsufficientScope      403, the token is good but does not allow this
│   └── ForeignOrigin          403, a cookie was sent from another site
├── Unavailable                503, we could not find out
│   ├── ProviderUnavailable
│   └── StoreUnavailable
└── SettingsError              a wrong setting or a wrong use of the library
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

# The reason words are part of the public contract: logs, events and the error table of the docs use them.
REASONS: Mapping[str, str] = {
    "missing_token": "the request carries no token",
    "several_credentials": "the request carries more than one credential",
    "malformed_credentials": "the credential is not written as its carrier asks",
    "query_not_a_document": "a token in the query is taken on GET requests for documents only",
    "foreign_origin": "a cookie was sent by a page of another origin",
    "malformed": "the token is not three clean base64url segments of JSON",
    "too_large": "the token is larger than max_bytes",
    "bad_header": "the token's header has a parameter that is refused",
    "bad_type": "the token's typ is not one that is accepted here",
    "bad_algorithm": "the token's algorithm is not one that the settings name",
    "missing_tenant": "the token names no tenant, and the route needs one",
    "no_route": "no configured kind of token fits this token",
    "unknown_key": "the token names a key that the key set does not hold",
    "bad_signature": "no configured key verifies the signature",
    "missing_claim": "a required claim is missing, empty or null",
    "bad_claim": "a claim has a value of a wrong kind",
    "expired": "the token has expired",
    "lifetime_too_long": "the token lives longer than max_lifetime allows",
    "not_yet_valid": "the token's nbf or iat lies in the future",
    "wrong_issuer": "the token was issued by somebody else",
    "wrong_audience": "the token was issued for somebody else",
    "inactive": "the provider says that the token is not active",
    "other_token_type": "the provider says that the token is a refresh or an ID token",
    "sender_constrained": "the token is bound to a key or is no bearer token",
    "rule_failed": "a claim rule or a check did not return True",
    "revoked": "the token has been revoked",
    "memory_lost": "the store lost its memory after the token was issued",
    "replayed": "the token has been used before and this route takes it once",
    "not_single_use": "the token has no end, so it cannot be taken once",
    "insufficient_scope": "the token lacks a scope that the route needs",
    "wrong_kind": "the route takes another kind of token",
    "provider_unavailable": "the provider could not be asked",
    "client_refused": "the provider refused our own client credentials",
    "provider_mismatch": "the provider's metadata does not fit the settings",
    "keys_unavailable": "the key set could not be fetched",
    "store_unavailable": "the store could not be asked",
    "store_unreadable": "the store holds a value that cannot be read",
    "store_unconfirmed": "the store took the revocation, but no replica confirmed it",
    "store_evicts": "the store may drop what it was told to keep, and the settings refuse such a store",
    "token_state_unknown": "the store did not confirm, so the one-time token may be spent",
}


class BearerguardError(Exception):
    """The root of every exception that bearerguard raises on purpose."""


class SettingsError(BearerguardError, ValueError):
    """A setting, or a use of the library, that is wrong; the message says what to write instead."""


class Challenge(NamedTuple):
    """What the door around a refusal adds to its ``WWW-Authenticate`` header."""

    realm: str | None = None
    scopes: tuple[str, ...] = ()
    resource_metadata: str | None = None


class _Answered(NamedTuple):
    challenge: Challenge
    headers: Mapping[str, str]


_UNDRESSED = _Answered(Challenge(), {})


class Refusal(BearerguardError):
    """What `AuthError` and `Unavailable` share: a reason word and an HTTP answer."""

    status: ClassVar[int]
    default_reason: ClassVar[str]

    def __init__(self, reason: str | None = None, *, detail: str | None = None) -> None:
        super().__init__(reason or self.default_reason)
        self.reason: str = reason or self.default_reason
        # For the log alone, so it may say what a caller must not learn; but nothing that the token says.
        self._detail = detail
        self.kind: str | None = None
        self.answered: _Answered = _UNDRESSED
        if self.reason not in REASONS:
            raise SettingsError(f"{self.reason!r} is no reason word; use one of {', '.join(REASONS)}")

    def __str__(self) -> str:
        return self._detail or REASONS[self.reason]

    @property
    def error(self) -> str:
        """The word that the JSON answer carries as ``error``."""
        return self.reason

    @property
    def description(self) -> str:
        """A short fixed sentence for the caller."""
        return REASONS[self.reason]

    @property
    def is_dressed(self) -> bool:
        """Whether a door has said what its answer carries."""
        return self.answered is not _UNDRESSED

    def answer_with(self, challenge: Challenge, headers: Mapping[str, str]) -> None:
        """Let the door say its realm, scopes and extra headers in this refusal's answer."""
        self.answered = _Answered(challenge, headers)

    def body(self) -> dict[str, str]:
        """The JSON answer."""
        return {"error": self.error, "detail": self.description}


class AuthError(Refusal):
    """The caller's token is missing, bad, or not enough.

    `except AuthError` around a verification means: answer the caller with `status` and `headers()`.
    """

    _code: ClassVar[str | None] = None

    @property
    def code(self) -> str | None:
        """The error code of RFC 6750; None where it has none."""
        return self._code

    @property
    def error(self) -> str:
        """The OAuth error code, or the reason where RFC 6750 has no code."""
        return self._code or self.reason

    def challenge(self) -> str:
        """The value of the ``WWW-Authenticate`` header (RFC 6750, section 3)."""
        said = self.answered.challenge
        parameters = {
            "realm": said.realm,
            "error": self._code,
            "error_description": self.description if self._code else None,
            "scope": " ".join(said.scopes) or None,
            "resource_metadata": said.resource_metadata,
        }
        text = ", ".join(f"{name}={_quoted(value)}" for name, value in parameters.items() if value is not None)
        return f"Bearer {text}" if text else "Bearer"

    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {
            "WWW-Authenticate": self.challenge(),
            "Cache-Control": "no-store",
            **self.answered.headers,
        }


class MissingToken(AuthError):
    """No token was sent."""

    status = 401
    default_reason = "missing_token"


class InvalidRequest(AuthError):
    """The request carries its token in a way that is not allowed."""

    status = 400
    _code = "invalid_request"
    default_reason = "malformed_credentials"


class InvalidToken(AuthError):
    """The token is not good; `reason` says which rule it broke."""

    status = 401
    _code = "invalid_token"
    default_reason = "malformed"

    @property
    def description(self) -> str:
        """One sentence for every cause, so that the answer teaches a forger nothing."""
        return "the token is not valid"


class TokenExpired(InvalidToken):
    """The token was good and its time is over."""

    default_reason = "expired"

    @property
    def description(self) -> str:
        """A front end may fetch a new token when it reads this."""
        return "the token has expired"


class TokenRevoked(InvalidToken):
    """The token was good and has been revoked."""

    default_reason = "revoked"

    @property
    def description(self) -> str:
        """The same words whether the token, its user or its tenant was revoked."""
        return "the token has been revoked"


class TokenReplayed(InvalidToken):
    """A one-time token was used before."""

    default_reason = "replayed"

    @property
    def description(self) -> str:
        """Tells the caller to fetch a new token for this call."""
        return "the token has already been used"


class InsufficientScope(AuthError):
    """The token is good, and the route needs more than it grants."""

    status = 403
    _code = "insufficient_scope"
    default_reason = "insufficient_scope"


class ForeignOrigin(AuthError):
    """A cookie came with a request that a page of another origin made."""

    status = 403
    default_reason = "foreign_origin"


class Unavailable(Refusal):
    """We could not find out whether the token is good; it is not the caller's fault."""

    status = 503
    retry_after: ClassVar[int] = 1

    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {"Retry-After": str(self.retry_after), "Cache-Control": "no-store", **self.answered.headers}


class ProviderUnavailable(Unavailable):
    """The provider, or its key set, could not be asked."""

    default_reason = "provider_unavailable"


class StoreUnavailable(Unavailable):
    """The store could not be asked, or gave an answer that cannot be read."""

    default_reason = "store_unavailable"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
