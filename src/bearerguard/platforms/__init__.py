"""Presets: functions that return the settings for one platform's tokens.

This room holds what they share: what every preset lets its caller say, and two words about apps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

from ..carriers import Carrier
from ..checks import check_text
from ..claims import Claims
from ..keys import SharedSecrets

__all__ = ["Overrides", "authority", "shared_secrets"]


class Overrides(TypedDict, total=False):
    """What every preset takes besides what its platform asks for; each has the meaning it has in the settings.

    ```python
    whatalo.session_tokens(client_id="wcl_...", client_secret="...", carriers=[Header("X-Session-Token")])
    ```

    All else is the platform's. Where it must differ, change the settings that the preset returns, in plain sight:
    `dataclasses.replace(settings, leeway=5)`.
    """

    name: str
    carriers: Sequence[Carrier]
    each_time: Sequence[Callable[[Claims], bool]]
    assumed_lifetime: float
    remember_tokens: int
    allow_short_secret: bool


def shared_secrets(client_secret: str | SharedSecrets) -> SharedSecrets:
    """A client secret as keys; already so where two are in use during a rotation."""
    return client_secret if isinstance(client_secret, SharedSecrets) else SharedSecrets(client_secret)


def authority(platform: str, app: str, *, called: str = "client_id") -> str:
    """The name that an app's revocations are kept under, the same for every kind of token of its platform."""
    check_text(called, app)
    return f"{platform}:{app}"
