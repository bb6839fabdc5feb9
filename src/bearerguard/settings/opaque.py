"""Settings for opaque tokens: those that only the provider's introspection endpoint can judge."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, get_args

from ..carriers import BEARER, Carrier
from ..checks import OnFailure, check_count, check_origin, check_seconds, check_text, check_url, check_word
from ..claim_rules import (
    UNCHECKED,
    Expected,
    NamedRules,
    TextSource,
    Word,
    check_pattern,
    check_texts,
    checked_rules,
    frozen_rule,
)
from ..claims import Claims
from ..errors import SettingsError
from ..keys import SharedSecrets
from .fields import (
    ClientAuth,
    RefusalHeaders,
    ScopeSource,
    a_tuple,
    check_carriers,
    check_client_auth,
    check_expected,
    check_name,
    check_sources,
    checked_headers,
    checked_sample,
    normalised,
    unchecked,
)

SHORTEST_SHARED_BYTES = 32


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class OpaqueTokens:
    """Settings for opaque access tokens, which the provider is asked about (RFC 7662).

    ```python
    OpaqueTokens(
        issuer="https://id.example.com",        # its metadata says where to ask
        client_id="orders-api",
        client_secret="...",
        audience="https://orders.example.com",
    )
    ```

    What the provider says of a good token is remembered for `cache_seconds` at most, and never past the token's end: a
    revocation at the provider is seen that late. `Denylist` is asked on every request. While the provider cannot be
    asked, nobody else passes; with `on_failure="open"` a token does that this process found good within an hour.
    """

    _: KW_ONLY
    issuer: str | Literal[Word.UNCHECKED]
    client_id: str
    client_secret: str | SharedSecrets = field(repr=False)
    audience: Expected
    name: str = "opaque"
    authority: str | None = None
    introspection_endpoint: str | None = None
    endpoint_origins: AbstractSet[str] = frozenset()
    client_auth: ClientAuth = "client_secret_basic"
    token_type_hint: str | None = "access_token"
    clients: AbstractSet[str] | None = None
    pattern: str | re.Pattern[str] | None = None
    jwt_shaped: bool = False
    cache_seconds: float = 60
    leeway: float = 0
    iat_leeway: float = 10
    deadline: float = 2.0
    on_failure: OnFailure = "closed"
    assumed_lifetime: float | None = None
    scopes: ScopeSource = None
    tenant: TextSource = None
    user: TextSource = None
    rules: NamedRules = ()
    checks: Sequence[Callable[[Mapping[str, Any]], bool]] = ()
    each_time: Sequence[Callable[[Claims], bool]] = ()
    carriers: Sequence[Carrier] = (BEARER,)
    refusal_headers: RefusalHeaders | None = None
    max_bytes: int = 8192
    remember_tokens: int = 10_000
    claims_type: type[Any] | None = None
    sample: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warnings: Sequence[str] = field(default=(), repr=False)

    secrets: SharedSecrets = field(init=False, repr=False)
    """The client secrets, newest first."""

    vouched_by: str = field(init=False, repr=False)
    """The authority, else the issuer where that is checked, else the name."""

    def __post_init__(self) -> None:
        self._normalise()
        check_name(self.name)
        check_text("client_id", self.client_id)
        _check_issuer(self)
        check_expected("audience", self.audience)
        if self.clients is not None:
            check_texts("clients", self.clients)
        check_client_auth(self.client_auth)
        if self.token_type_hint is not None:
            check_text("token_type_hint", self.token_type_hint)
        _check_times(self)
        check_word("on_failure", self.on_failure, get_args(OnFailure))
        check_sources(self)
        check_carriers(self.carriers)
        check_count("max_bytes", self.max_bytes, 16, 1_048_576)
        check_count("remember_tokens", self.remember_tokens, 0, 10_000_000)

    def _normalise(self) -> None:
        put = object.__setattr__
        for name in ("checks", "each_time", "carriers", "warnings"):
            put(self, name, a_tuple(name, getattr(self, name)))
        put(self, "endpoint_origins", frozenset(a_tuple("endpoint_origins", self.endpoint_origins)))
        put(self, "clients", None if self.clients is None else frozenset(a_tuple("clients", self.clients)))
        put(self, "audience", frozen_rule(self.audience))
        put(self, "pattern", _checked_pattern(self.pattern))
        put(self, "rules", checked_rules(self.rules))
        secret = self.client_secret
        put(self, "secrets", secret if isinstance(secret, SharedSecrets) else SharedSecrets(secret))
        put(self, "vouched_by", self.authority or (self.issuer if isinstance(self.issuer, str) else self.name))
        put(self, "refusal_headers", checked_headers(self.refusal_headers))
        put(self, "sample", checked_sample(self.sample))

    @property
    def ahead(self) -> float:
        """How far the provider's clock may run ahead of ours, for revocations of all that was issued before."""
        return self.iat_leeway

    @property
    def horizon(self) -> float | None:
        """How long a token of this kind can live at most, where that is known."""
        return self.assumed_lifetime

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What would bind a token to somebody and is not checked; `clients` bind it as an audience does."""
        names = unchecked(self.issuer, self.audience)
        return names if self.clients is None else tuple(name for name in names if name != "audience")

    @property
    def may_share(self) -> bool:
        """Whether the client secret is long enough for its answers to be kept where others could try to forge them."""
        return self.secrets.shortest() >= SHORTEST_SHARED_BYTES

    def normalised_tenant(self, tenant: str) -> str:
        """`tenant` as these settings spell it; SettingsError where their tokens name none."""
        return normalised("tenant", self.tenant, tenant, self.name)

    def normalised_user(self, user: str) -> str:
        """`user` as these settings spell it; SettingsError where their tokens name none."""
        return normalised("user", self.user, user, self.name)


def _check_issuer(settings: OpaqueTokens) -> None:
    issuer, endpoint = settings.issuer, settings.introspection_endpoint
    if endpoint is not None:
        check_url("introspection_endpoint", endpoint)
    if issuer is UNCHECKED and endpoint is None:
        raise SettingsError("an unchecked issuer tells nobody where to ask; give introspection_endpoint= as well")
    if issuer is not UNCHECKED:
        check_text("issuer", issuer)
        if endpoint is None:
            check_issuer_url(issuer)
    for origin in settings.endpoint_origins:
        check_origin("endpoint_origins", origin)


def check_issuer_url(issuer: str) -> None:
    """An issuer whose metadata can be looked up (RFC 8414, section 2)."""
    check_url("issuer", issuer)
    if "?" in issuer:
        raise SettingsError("issuer has a query; write it as its metadata does, as in 'https://id.example.com'")


def _checked_pattern(pattern: object) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)  # type: ignore[call-overload]
    except (TypeError, re.error) as error:
        raise SettingsError(f"pattern is no regular expression ({error}); write r'[A-Za-z0-9_-]{{43}}'") from None
    check_pattern("pattern", compiled)
    return compiled  # type: ignore[no-any-return]


def _check_times(settings: OpaqueTokens) -> None:
    check_seconds("cache_seconds", settings.cache_seconds, 0, 60)
    check_seconds("leeway", settings.leeway, 0, 300)
    check_seconds("iat_leeway", settings.iat_leeway, 0, 300)
    check_seconds("deadline", settings.deadline, 0.05, 4)
    if settings.assumed_lifetime is not None:
        check_seconds("assumed_lifetime", settings.assumed_lifetime, 1, 315_360_000)
