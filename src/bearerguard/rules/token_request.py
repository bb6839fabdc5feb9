"""What we ask a token endpoint for, in our own name: settings, checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..checks import check_seconds, check_text, check_url
from ..errors import SettingsError
from ..keys import SharedSecrets
from ..settings import ClientAuth
from ..settings.fields import check_client_auth
from ..settings.opaque import SHORTEST_SHARED_BYTES, check_issuer_url
from .client_auth import Form, client_form

_HAVE_ARGUMENTS = ("client_id", "client_secret", "scope", "resource")


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenRequest:
    """The request of RFC 6749, section 4.4, and where it is sent."""

    client_id: str
    client_secret: str | SharedSecrets = field(repr=False)
    token_url: str | None
    issuer: str | None
    client_auth: ClientAuth
    scope: str | None
    resource: str | None
    extra: Mapping[str, str] | None = field(repr=False)
    margin: float

    secrets: SharedSecrets = field(init=False, repr=False)
    """The client secrets, newest first."""

    fields: Mapping[str, str] = field(init=False, repr=False)
    """What is asked for."""

    def __post_init__(self) -> None:
        check_text("client_id", self.client_id)
        check_client_auth(self.client_auth)
        _check_place(self.token_url, self.issuer)
        for name in ("scope", "resource"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        check_seconds("margin", self.margin, 0, 3600)
        secret = self.client_secret
        object.__setattr__(self, "secrets", secret if isinstance(secret, SharedSecrets) else SharedSecrets(secret))
        named = {name: value for name in ("scope", "resource") if (value := getattr(self, name)) is not None}
        asked = {"grant_type": "client_credentials", **named, **_checked_extra(self.extra)}
        object.__setattr__(self, "fields", MappingProxyType(asked))

    @property
    def may_share(self) -> bool:
        """Whether the client secret is long enough for its tokens to be kept where others could try to open them."""
        return self.secrets.shortest() >= SHORTEST_SHARED_BYTES

    @property
    def provider(self) -> tuple[str, str]:
        """The issuer and the endpoint, as far as the settings name them."""
        return self.issuer or "", self.token_url or ""

    def form(self, secret: bytes) -> Form:
        """The request in the name of that secret."""
        return client_form(self.fields, client_id=self.client_id, secret=secret, client_auth=self.client_auth)


def _check_place(token_url: str | None, issuer: str | None) -> None:
    if (token_url is None) == (issuer is None):
        raise SettingsError(
            "nobody knows where to ask for tokens; give token_url='https://id.example.com/oauth2/token', "
            "or issuer='https://id.example.com' to look it up, and not both"
        )
    if token_url is not None:
        check_url("token_url", token_url)
    if issuer is not None:
        check_issuer_url(issuer)


def _checked_extra(extra: Any) -> dict[str, str]:
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise SettingsError("extra maps the names of form fields to texts; write extra={'audience': '...'}")
    for name, value in extra.items():
        check_text("the name of a field in extra", name)
        check_text(f"extra[{name!r}]", value)
        if name == "grant_type":
            raise SettingsError("extra has grant_type, which is always client_credentials; leave it out")
        if name in _HAVE_ARGUMENTS:
            raise SettingsError(f"extra has {name}, which has its own argument; write {name}=... instead")
    return dict(extra)
