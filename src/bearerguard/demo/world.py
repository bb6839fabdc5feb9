"""What the doors of the demo and its page share: the provider, the store, the clock and the one verifier."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

from ..claims import Claims
from ..errors import SettingsError
from ..settings import Kind
from ..testing import FakeProvider, TestKeys
from ..testing.minting import Signer, signed
from ..verifier import Verifier
from .clock import PassingTime
from .sorts import Sort, sorts
from .store import StoppableStore

_USUAL_FACTS = ("iss", "aud", "sub", "org", "scope", "token_type", "iat", "exp")
"""What the provider would add of itself; a claim that somebody has deleted stays away."""

FAULTS: Mapping[str, Literal["refuse", "hang"] | None] = {"answers": None, "refuses": "refuse", "hangs": "hang"}


class World:
    """One provider, one store, one clock, and one verifier that takes every sort of token at both doors."""

    def __init__(self, provider: FakeProvider, clock: PassingTime) -> None:
        self.clock = clock
        self.store: StoppableStore = StoppableStore()
        self.sorts: Mapping[str, Sort] = {sort.name: sort for sort in sorts(provider)}
        self.provider_is: str = "answers"
        first, *more = (sort.settings for sort in self.sorts.values())
        self.verifier: Verifier[Kind] = Verifier(first, *more, store=self.store, clock=clock, any_kind=True)
        self._provider = provider
        self._strangers = TestKeys()

    def sort(self, name: object) -> Sort:
        """The sort of that name."""
        if not isinstance(name, str) or name not in self.sorts:
            raise SettingsError(f"there is no such kind of token; use one of {', '.join(self.sorts)}")
        return self.sorts[name]

    def minted(self, sort: Sort, claims: Mapping[str, Any], *, by_a_stranger: bool) -> str:
        """A token with these claims, whatever they are: signed, or known to the provider; a stranger's is neither."""
        if sort.keys is None:
            return secrets.token_urlsafe(32) if by_a_stranger else self._issued(claims)
        signer = Signer.of(sort.keys, sort.algorithm)
        if by_a_stranger:
            signer = signer._replace(sign=lambda data: self._strangers.signature(data, sort.algorithm))
        return signed(claims, signer, typ=sort.typ, headers={})

    def _issued(self, claims: Mapping[str, Any]) -> str:
        try:
            return self._provider.issue(**{**dict.fromkeys(_USUAL_FACTS), **claims})
        except TypeError as error:
            raise SettingsError("the provider cannot issue a token with such claims") from error

    def claims_of(self, token: object) -> Claims:
        """What a good token says."""
        if not isinstance(token, str):
            raise SettingsError("token is no text")
        return self.verifier.verify(token)

    def let_provider_be(self, mode: object) -> None:
        """Let the provider answer, or refuse every connection, or take them and say nothing."""
        if not isinstance(mode, str) or mode not in FAULTS:
            raise SettingsError(f"the provider {' or '.join(FAULTS)}")
        fault = FAULTS[mode]
        self._provider.recover()
        if fault is not None:
            self._provider.fail(fault)
        self.provider_is = mode

    def start_over(self) -> None:
        """Everybody answers, nothing is revoked or used up, and it is now."""
        self.let_provider_be("answers")
        self.store.is_stopped = False
        self.store.forget()
        self.clock.go_back()
