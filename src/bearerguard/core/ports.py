"""What the core asks of the outside world, and how blocking code runs the core.

Every port has two flavours. The async one suspends in an event loop. The sync one blocks inside its `async def`
methods and never suspends, so that `run_sync` can run the same core to its end without a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from ..checks import OnFailure
from ..errors import StoreUnavailable
from ..rules.epochs import Amnesia, Memory

_T = TypeVar("_T")

FirstStart: TypeAlias = Literal["trust", "refuse"]
"""What an empty store is, for a process that has not met it before: a new one, or one that has lost its memory."""


class ReplyLost(StoreUnavailable):
    """The store was asked and its reply never came: it may have done what it was asked."""

    default_reason = "token_state_unknown"


class Spent(Enum):
    """What became of a one-time claim."""

    FIRST = "first"
    REPLAYED = "replayed"
    OTHER_EPOCH = "other epoch"


class Recollection(NamedTuple):
    """What a store knows under one name, read in one step with all that a check needs.

    `seconds_left` is infinite where the store cannot tell; the entry's own times bound it then. What stands there and
    is neither an entry nor a tombstone `is_unreadable`, and counts as no entry.
    """

    epoch: str | None
    entry: str | None = None
    seconds_left: float = 0
    names: Sequence[str] = ()
    marks: Sequence[str | None] = ()
    leads: bool = True
    is_unreadable: bool = False


class Entries(Protocol):
    """What a fleet shares for a while: facts that took a call to find out.

    An entry is a text "1|names|body". The names, parted by spaces, are those under which the entry's token may have
    been revoked; `recall` reads them in the same step. A tombstone, "0", stands where an entry must not come back.
    Whoever finds nothing is told whether to go and find out, or to wait for another process that does. All methods
    end within `within` seconds and raise `StoreUnavailable`.
    """

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late; None where nobody can tell, or where it is never lost."""
        ...

    async def recall(self, name: str, *, claim: str, claim_seconds: float, within: float) -> Recollection:
        """The entry under `name`, in one round trip; where there is none, whether the caller leads with its `claim`.

        A tombstone counts as no entry. A claim stands for `claim_seconds`, or until `keep`, `retire` or `release`.
        """
        ...

    async def keep(self, name: str, entry: str, *, claim: str, seconds: float, over: bool, within: float) -> None:
        """Put `entry` under `name` and let the claim go.

        What stands there stays, a tombstone above all, unless the entry is put `over` it.
        """
        ...

    async def retire(self, name: str, *, claim: str, within: float) -> None:
        """Put a tombstone, for 60 s, over an entry or where another claim stands, and let the own claim go."""
        ...

    async def release(self, name: str, *, claim: str, within: float) -> None:
        """Let the claim go."""
        ...

    async def drop(self, name: str, entry: str, *, within: float) -> None:
        """Take the entry away, if it still is this one."""
        ...


class StorePolicy(NamedTuple):
    """What is done where a store forgets, or cannot be asked."""

    on_amnesia: Amnesia = "refuse"
    first_start: FirstStart = "trust"
    on_failure: OnFailure = "closed"

    def lets_pass(self, failure: StoreUnavailable) -> bool:
        """Whether a check passes that failed so: the store could not be asked, which is not all that can be wrong."""
        return self.on_failure == "open" and failure.reason == "store_unavailable"


class Store(Protocol):
    """Where revocations and spent tokens are kept.

    Names are relative: the store puts its prefix before them. Every method ends within `within` seconds. A store that
    could not be asked raises `StoreUnavailable`; one that may have done what it was asked, and whose reply was lost,
    raises `ReplyLost`.
    """

    @property
    def keeps_epoch(self) -> bool:
        """Whether the store can lose its memory while we live, and so counts its epochs."""
        ...

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late; None where nobody can tell, or where it is never lost."""
        ...

    @property
    def policy(self) -> StorePolicy:
        """What is done where the store forgets, or cannot be asked."""
        ...

    @property
    def entries(self) -> Entries | None:
        """What a fleet shares besides revocations; None for a store that only this process sees."""
        ...

    @property
    def is_blank(self) -> bool:
        """Whether the store knows without waiting that nothing at all is revoked."""
        ...

    def peek(self, names: Sequence[str]) -> Sequence[str | None] | None:
        """What `read` would answer, where the store knows it without waiting; else None."""
        ...

    async def get_ready(self, *, within: float) -> None:
        """Meet the store, so that what is wrong with it is heard of before the first request."""

    def read(self, names: Sequence[str], *, within: float) -> Coroutine[Any, Any, Sequence[str | None]]:
        """The values of `names`, in one round trip; None for a name that is absent."""
        ...

    async def raise_mark(self, name: str, number: int, *, keep_seconds: int, within: float) -> str | None:
        """Keep the larger number, and the longer life, under `name`; the epoch, whose seq this has raised."""
        ...

    async def spend(self, name: str, nonce: str, *, epoch: str | None, keep_seconds: int, within: float) -> Spent:
        """Put `nonce` under `name` if it is absent and the epoch still continues the one that was read."""
        ...

    async def found_epoch(self, observed: str | None, *, trusted: bool, later_than: int = 0, within: float) -> str:
        """Write a new epoch if the present one is still `observed`; the epoch that stands afterwards.

        One that is not trusted begins now, and after `later_than`, wherever the clock of the store has been set.
        """
        ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One outbound request."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One answer: its status, its headers by lower-case name, its whole body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Fetch(Protocol):
    """Outbound HTTP: no redirects, no proxies, identity encoding, a bounded body, one deadline over all."""

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer, whatever its status; `ProviderUnavailable` where there was none inside the bounds."""
        ...


class Flight(Protocol):
    """Work that several callers want at once is done once."""

    async def once(
        self, key: str, work: Callable[[], Coroutine[Any, Any, _T]], *, within: float, most: int | None = None
    ) -> _T:
        """The outcome of `work`, shared by all who ask for `key` while it runs.

        A follower waits `within` seconds at most and then raises `ProviderUnavailable`; so does, at once, who would
        begin more than `most` at a time. Whoever is cancelled harms nobody else.
        """
        ...

    def behind(self, key: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Start `work` unless it runs already; nobody waits, and its exceptions are swallowed."""

    async def pause(self, seconds: float) -> None:
        """Let others work for that long."""
        ...


class Ports(NamedTuple):
    """The ports of one call."""

    store: Store
    fetch: Fetch
    flight: Flight


def run_sync(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine whose ports never suspend."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("a port suspended in blocking code; use the async twin of this call inside an event loop")
