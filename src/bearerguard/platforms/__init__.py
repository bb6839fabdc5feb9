"""Presets: functions that return the settings for one platform's tokens.

This room holds what they share: what every preset lets its caller say, and three words about apps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypedDict

from ..carriers import Carrier
from ..checks import OnFailure, check_text
from ..claim_rules import UNCHECKED, Expected, NamedRules
from ..claims import Claims
from ..errors import SettingsError
from ..keys import SharedSecrets
from ..settings import ClientAuth

__all__ = ["OpaqueOverrides", "Overrides", "access_token_rules", "audience_or_clients", "authority", "shared_secrets"]


class _Both(TypedDict, total=False):
    """What presets take for tokens of either sort."""

    name: str
    carriers: Sequence[Carrier]
    each_time: Sequence[Callable[[Claims], bool]]
    assumed_lifetime: float
    remember_tokens: int


class Overrides(_Both, total=False):
    """What every preset takes besides what its platform asks for; each has the meaning it has in the settings.

    ```python
    whatalo.session_tokens(client_id="wcl_...", client_secret="...", carriers=[Header("X-Session-Token")])
    ```

    All else is the platform's. Where it must differ, change the settings that the preset returns, in plain sight:
    `dataclasses.replace(settings, leeway=5)`.
    """

    allow_short_secret: bool


class OpaqueOverrides(_Both, total=False):
    """The same for the presets of opaque tokens: what is yours to say about your caches, your network and your client.

    ```python
    whatalo.access_tokens(client_id="cli_...", client_secret="...", audience="...", cache_seconds=15)
    ```
    """

    cache_seconds: float
    client_auth: ClientAuth
    deadline: float
    endpoint_origins: AbstractSet[str]
    introspection_endpoint: str | None
    on_failure: OnFailure
    rules: NamedRules


def shared_secrets(client_secret: str | SharedSecrets) -> SharedSecrets:
    """A client secret as keys; already so where two are in use during a rotation."""
    return client_secret if isinstance(client_secret, SharedSecrets) else SharedSecrets(client_secret)


def authority(platform: str, app: str, *, called: str = "client_id") -> str:
    """The name that an app's revocations are kept under, the same for every kind of token of one client."""
    check_text(called, app)
    return f"{platform}:{app}"


def audience_or_clients(audience: Expected | None, clients: AbstractSet[str] | None) -> Expected:
    """The audience of opaque tokens; not checked where it is left out and `clients` bind the tokens instead."""
    if audience is not None:
        return audience
    if clients is None:
        raise SettingsError(
            "a token for somebody else would pass; give audience='https://orders.example.com', which the provider "
            "names as aud, or clients={'...'}, the client ids that may call you, or both"
        )
    return UNCHECKED


def access_token_rules(audience: Expected | None) -> NamedRules:
    """What shows an access token where no audience does: some providers call refresh tokens active and untyped."""
    return {} if audience is not None and audience is not UNCHECKED else {"token_type": _says_bearer}


def _says_bearer(token_type: object) -> bool:
    """Whether `token_type` is Bearer."""
    return isinstance(token_type, str) and token_type.lower() == "bearer"
