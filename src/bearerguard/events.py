"""What happens, told as data: frozen events for logs, metrics and callables of the application's own.

No event carries a token, a secret or a jti, nor anything that a token says before it is verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import AuthError, Unavailable

__all__ = [
    "CacheForged",
    "CacheNotKept",
    "ClientRefused",
    "ComponentFailed",
    "Event",
    "KeysRefreshed",
    "MetadataUnusable",
    "OldClientSecretUsed",
    "OldSecretUsed",
    "PassedUnchecked",
    "ProviderFailed",
    "ReplicaDropped",
    "Revoked",
    "RuleRaised",
    "StoreEvicts",
    "StoreFailed",
    "StoreForgot",
    "StoreMetEmpty",
    "StoreUnwatched",
    "TokenAccepted",
    "TokenOutlivesHorizon",
    "TokenRefused",
    "WebSocketClosed",
]

LONGEST_TEXT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; `type(event).__name__` is its name."""


# --- Tokens ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccepted(Event):
    """A door let a request or a WebSocket pass with a good token; a guard behind it may still refuse.

    `seen_before`: this process had verified the token before, and only looked again at what can change.
    """

    kind: str
    tenant: str | None
    seen_before: bool

    def __post_init__(self) -> None:
        if self.tenant is not None:
            object.__setattr__(self, "tenant", shown(self.tenant))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefused(Event):
    """A door or a guard refused a request: with 400, 401 or 403, or with 503 where we could not find out.

    `reason` is one of the words of `bearerguard.errors.REASONS`, and `detail` the sentence that belongs to it.
    """

    reason: str
    status: int
    kind: str | None
    detail: str

    @classmethod
    def of(cls, error: AuthError | Unavailable) -> TokenRefused:
        """The event of a refusal."""
        return cls(reason=error.reason, status=error.status, kind=error.kind, detail=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOutlivesHorizon(Event):
    """A good token lives longer than `assumed_lifetime`, and so may outlive a revocation of its user or tenant."""

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketClosed(Event):
    """An open WebSocket was closed, because its token ended or could not be asked about."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedUnchecked(Event):
    """A request passed although `dependency` could not be asked, because the settings say that it may."""

    dependency: Literal["store", "provider", "keys"]
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRaised(Event):
    """A rule or check of the settings raised, which refuses the token and is a bug of the rule."""

    rule: str
    error: str


# --- Revocations and the store ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked(Event):
    """The store has confirmed a revocation, kept under these authorities."""

    what: Literal["token", "user", "tenant"]
    authorities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMetEmpty(Event):
    """The store holds no epoch, and this process has seen none: it is new, or lost its memory while we were away."""

    trusted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreForgot(Event):
    """The store no longer shows what it showed us before; tokens issued before now are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEvicts(Event):
    """The store throws entries away when it is full, revocations among them."""

    policy: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", shown(self.policy))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnwatched(Event):
    """We may not run INFO on the store, so restarts and eviction policies go unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaDropped(Event):
    """The local replica of the denylist is trusted no more; checks go to the store itself until there is a new one."""

    why: str


# --- What could not be done ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFailed(Event):
    """A component could not do its work: which one, the class of the error, and after how many seconds.

    `asked` is the origin of the URL that was asked, where there is one: scheme, host and port.
    """

    component: str
    error: str
    elapsed: float
    asked: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed(ComponentFailed):
    """The store could not be asked, or gave an answer that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFailed(ComponentFailed):
    """A provider could not be asked: its metadata, its keys, about a token, or for one of our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRefused(Event):
    """The provider does not know us by the credentials of our settings; no caller is to blame."""

    component: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataUnusable(Event):
    """The provider's metadata does not fit the settings, and `what` says why."""

    component: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheForged(Event):
    """A shared entry was not written by one who knows the client secret, or was put in another's place."""

    component: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheNotKept(Event):
    """An entry could not be shared, which costs another call and nothing else."""

    component: str
    error: str


# --- Keys and secrets ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysRefreshed(Event):
    """A key set was fetched, and holds that many keys that we can use."""

    kind: str
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSecretUsed(Event):
    """A token was signed with a secret that is not the newest; while this is told, the old one is still needed."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OldClientSecretUsed(Event):
    """The provider took a client secret that is not the newest; while this is told, the old one is still needed."""

    component: str
    index: int


def shown(text: str) -> str:
    """A verified value as others may see it: nothing in it that a terminal or a parser would obey, and not long."""
    text = text[:LONGEST_TEXT]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return text[:LONGEST_TEXT]


def error_class(error: BaseException) -> str:
    """The class of what went wrong in the first place; what it says may quote what was sent, and is told to nobody."""
    return type(error.__cause__ or error).__name__
