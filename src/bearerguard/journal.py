"""What the log says: one line each, no token, no secret, and never a flood."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager

from .errors import AuthError, MissingToken, Unavailable

logger = logging.getLogger("bearerguard")

LINES_PER_SECOND = 10


class Allowance:
    """How many lines of one kind may still be written in this second, and how many were kept back.

    Without a lock, which a fork could leave shut: threads that meet here may miscount by a line.
    """

    __slots__ = ("_kept_back", "_per_second", "_second", "_written")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = 0
        self._written = 0
        self._kept_back = 0

    def take(self, now: float) -> int | None:
        """How many lines were kept back before this one; None to keep this one back too."""
        if int(now) != self._second:
            self._second, self._written = int(now), 0
        if self._written >= self._per_second:
            self._kept_back += 1
            return None
        self._written += 1
        kept_back, self._kept_back = self._kept_back, 0
        return kept_back


_allowances: dict[str, Allowance] = {}


def refused(error: AuthError | Unavailable) -> None:
    """A request was refused; the reason word says why, also where the caller is told less."""
    level = logging.INFO if isinstance(error, MissingToken) else logging.WARNING
    kind = f" (kind {error.kind})" if error.kind else ""
    _say(level, error.reason, f"refused {error.status} {error.reason}: {error}{kind}")


def closed(code: int, cause: AuthError | Unavailable) -> None:
    """An open WebSocket was closed, because its token ended or could not be asked about."""
    _say(logging.INFO, f"closed {cause.reason}", f"closed a WebSocket with {code} {cause.reason}: {cause}")


def failed(component: str, error: BaseException, *, elapsed: float) -> None:
    """A component could not be asked: what it was, the class of the error, how long it took."""
    cause = error.__cause__ or error
    text = f"{component} failed after {elapsed:.3f} s: {type(cause).__name__}"
    _say(logging.WARNING, component, text, per_second=1)


@contextmanager
def told_if_unavailable(component: str) -> Generator[None, None, None]:
    """Say so, if what is done in here raises `Unavailable`."""
    started = time.monotonic()
    try:
        yield
    except Unavailable as error:
        failed(component, error, elapsed=time.monotonic() - started)
        raise


def client_refused(component: str) -> None:
    """The provider does not know us by the credentials of our settings; no caller is to blame."""
    text = f"{component}: the provider refused our own client_id and client_secret; check them in the settings"
    _say(logging.ERROR, f"credentials of {component}", text, per_second=1)


def provider_mismatch(component: str, what: str) -> None:
    """The provider's metadata cannot be used with our settings."""
    _say(logging.ERROR, f"metadata of {component}", f"{component}: {what}", per_second=1)


def old_client_secret_used(component: str, index: int) -> None:
    """The provider took a client secret that is not the newest; while this is said, the old one is still needed."""
    text = f"{component}: the provider refused the newest client secret and took the one at index {index}"
    _say(logging.WARNING, f"old client secret of {component}", text, per_second=1)


def entry_forged(component: str) -> None:
    """A shared entry was not written by one who knows the client secret, or was put in another's place."""
    text = f"{component}: an entry in the store fails its check and is not used; somebody else may write to the store"
    _say(logging.WARNING, f"forged entry of {component}", text, per_second=1)


def entry_not_kept(component: str, error: BaseException) -> None:
    """An entry could not be shared, which costs another call and nothing else."""
    cause = error.__cause__ or error
    text = f"{component}: an entry could not be kept in the store: {type(cause).__name__}"
    _say(logging.WARNING, f"entry of {component}", text, per_second=1)


def old_secret_used(index: int) -> None:
    """A token was signed with a secret that is not the newest; while this is said, the old one is still needed."""
    _say(logging.INFO, "old secret", f"a token was signed with the shared secret at index {index}", per_second=1)


def rule_raised(name: str, error: BaseException) -> None:
    """A rule or check of the settings raised, which refuses the token and is a bug of the rule."""
    _say(logging.ERROR, f"rule {name}", f"the rule {name} raised {type(error).__name__}; the token was refused")


def _say(level: int, subject: str, text: str, *, per_second: int = LINES_PER_SECOND) -> None:
    if not logger.isEnabledFor(level):
        return
    allowance = _allowances.setdefault(subject, Allowance(per_second))
    kept_back = allowance.take(time.monotonic())
    if kept_back is not None:
        logger.log(level, "%s%s", text, f" (and {kept_back} more like it)" if kept_back else "")


def store_met_empty() -> None:
    """The store holds no epoch, and this process has seen none: it is new, or it lost its memory while we were away."""
    _say(
        logging.WARNING,
        "empty store",
        "the store is empty; it is trusted as a new one, and an epoch is begun",
        per_second=1,
    )


def store_forgot() -> None:
    """The store no longer shows what it showed us before."""
    text = "the store has lost its memory; tokens issued before now are refused until they would have ended"
    _say(logging.ERROR, "store forgot", text, per_second=1)
