"""How the keys of a shared store are spelt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import SettingsError

DEFAULT_PREFIX = "bearerguard:"

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class KeyLayout:
    """The keys of one prefix; all of them share one hash tag, so that a cluster keeps them in one slot.

    With the prefix "bearerguard:" the name "epoch" is kept under "bearerguard:{bearerguard}:epoch".
    """

    prefix: str = DEFAULT_PREFIX
    _stem: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # An empty hash tag counts as none, so the prefix must be more than colons.
        if not _PREFIX.fullmatch(self.prefix) or not self.prefix.strip(":"):
            raise SettingsError("a store's prefix is 1 to 64 letters, digits, '.', '_', '-' or ':', as in 'shop:'")
        object.__setattr__(self, "_stem", f"{self.prefix}{{{self.prefix.rstrip(':')}}}:")

    def key(self, name: str) -> str:
        """The key that keeps `name`."""
        return self._stem + name
