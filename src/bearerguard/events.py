"""What happens, told as data: frozen events for logs, metrics and callables of the application's own.

No event carries a token, a secret or a jti, nor anything that a token says before it is verified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Literal, TypeVar, dataclass_transform

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


_EventT = TypeVar("_EventT", bound="Event")


@dataclass_transform(frozen_default=True)
def _event_dataclass(*, kw_only: bool) -> Callable[[type[_EventT]], type[_EventT]]:
    """A frozen dataclass. What all have alike stands once in `Event`: to compile it for each would slow the import."""
    return dataclass(slots=True, kw_only=kw_only, eq=False, repr=False)


@_event_dataclass(kw_only=True)
class Event:
    """Something that happened; `type(event).__name__` is its name."""

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event) or type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((type(self), _values(self)))

    def __repr__(self) -> str:
        said = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{type(self).__qualname__}({', '.join(said)})"


def _values(event: Event) -> tuple[object, ...]:
    return tuple(getattr(event, field.name) for field in fields(event))


# --- Tokens ----------------------------------------------------------------------------------------------------------


@_event_dataclass(kw_only=True)
class TokenAccepted(Event):
    """A door let a request or a WebSocket pass with a good token; a guard behind it may still refuse.

    `seen_before`: this process had verified the token before, and only looked again at what can change.
    """

    kind: str
    tenant: str | None
    seen_before: bool

    def __init__(self, *, kind: str, tenant: str | None, seen_before: bool) -> None:
        # On the path of every request that somebody listens to: past the check that a field is set once.
        put = object.__setattr__
        put(self, "kind", kind)
        put(self, "tenant", None if tenant is None else shown(tenant))
        put(self, "seen_before", seen_before)


@_event_dataclass(kw_only=True)
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


@_event_dataclass(kw_only=True)
class TokenOutlivesHorizon(Event):
    """A good token lives longer than `assumed_lifetime`, and so may outlive a revocation of its user or tenant."""

    kind: str


@_event_dataclass(kw_only=True)
class WebSocketClosed(Event):
    """An open WebSocket was closed, because its token ended or could not be asked about."""

    code: int
    reason: str


@_event_dataclass(kw_only=True)
class PassedUnchecked(Event):
    """A request passed although `dependency` could not be asked, because the settings say that it may."""

    dependency: Literal["store", "provider", "keys"]
    kind: str


@_event_dataclass(kw_only=True)
class RuleRaised(Event):
    """A rule or check of the settings raised, which refuses the token and is a bug of the rule."""

    rule: str
    error: str


# --- Revocations and the store ---------------------------------------------------------------------------------------


@_event_dataclass(kw_only=True)
class Revoked(Event):
    """The store has confirmed a revocation, kept under these authorities."""

    what: Literal["token", "user", "tenant"]
    authorities: tuple[str, ...]


@_event_dataclass(kw_only=True)
class StoreMetEmpty(Event):
    """The store holds no epoch, and this process has seen none: it is new, or lost its memory while we were away."""

    trusted: bool = True


@_event_dataclass(kw_only=True)
class StoreForgot(Event):
    """The store no longer shows what it showed us before; tokens issued before now are refused."""


@_event_dataclass(kw_only=True)
class StoreEvicts(Event):
    """The store throws entries away when it is full, revocations among them."""

    policy: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", shown(self.policy))


@_event_dataclass(kw_only=True)
class StoreUnwatched(Event):
    """We may not run INFO on the store, so restarts and eviction policies go unseen."""


@_event_dataclass(kw_only=True)
class ReplicaDropped(Event):
    """The local replica of the denylist is trusted no more; checks go to the store itself until there is a new one."""

    why: str


# --- What could not be done ------------------------------------------------------------------------------------------


@_event_dataclass(kw_only=True)
class ComponentFailed(Event):
    """A component could not do its work: which one, the class of the error, and after how many seconds.

    `asked` is the origin of the URL that was asked, where there is one: scheme, host and port.
    """

    component: str
    error: str
    elapsed: float
    asked: str | None = None


@_event_dataclass(kw_only=True)
class StoreFailed(ComponentFailed):
    """The store could not be asked, or gave an answer that cannot be read."""


@_event_dataclass(kw_only=True)
class ProviderFailed(ComponentFailed):
    """A provider could not be asked: its metadata, its keys, about a token, or for one of our own."""


@_event_dataclass(kw_only=True)
class ClientRefused(Event):
    """The provider does not know us by the credentials of our settings; no caller is to blame."""

    component: str


@_event_dataclass(kw_only=True)
class MetadataUnusable(Event):
    """The provider's metadata does not fit the settings, and `what` says why."""

    component: str
    what: str


@_event_dataclass(kw_only=True)
class CacheForged(Event):
    """A shared entry was not written by one who knows the client secret, or was put in another's place."""

    component: str


@_event_dataclass(kw_only=True)
class CacheNotKept(Event):
    """An entry could not be shared, which costs another call and nothing else."""

    component: str
    error: str


# --- Keys and secrets ------------------------------------------------------------------------------------------------


@_event_dataclass(kw_only=True)
class KeysRefreshed(Event):
    """A key set was fetched, and holds that many keys that we can use."""

    kind: str
    keys: int


@_event_dataclass(kw_only=True)
class OldSecretUsed(Event):
    """A token was signed with a secret that is not the newest; while this is told, the old one is still needed."""

    index: int


@_event_dataclass(kw_only=True)
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
