"""What a verified token says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from .errors import SettingsError

_T = TypeVar("_T")


class Claims(Mapping[str, Any]):
    """The claims of one verified token: an immutable mapping, frozen to its leaves.

    ```python
    claims = current_claims()
    claims["iss"], claims.tenant, claims.grants("read:orders")
    ```
    """

    __slots__ = (
        "_identity",
        "_shape",
        "_values",
        "client_id",
        "expires_at",
        "issued_at",
        "issuer",
        "kind",
        "scopes",
        "subject",
        "tenant",
        "token_id",
        "user",
    )

    _identity: str | None
    _shape: type[Any] | None
    _values: Mapping[str, Any]
    kind: str
    tenant: str | None
    user: str | None
    subject: str | None
    token_id: str | None
    issuer: str | None
    client_id: str | None
    issued_at: float | None
    expires_at: float | None
    scopes: frozenset[str]

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        kind: str,
        tenant: str | None = None,
        user: str | None = None,
        scopes: frozenset[str] = frozenset(),
        identity: str | None = None,
        shape: type[Any] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "_values", {name: _frozen(value) for name, value in values.items()})
        put(self, "_identity", identity)
        put(self, "_shape", shape)
        put(self, "kind", kind)
        put(self, "tenant", tenant)
        put(self, "user", user)
        put(self, "scopes", scopes)
        put(self, "subject", values.get("sub"))
        put(self, "token_id", values.get("jti"))
        put(self, "issuer", values.get("iss"))
        put(self, "client_id", _client_id(values))
        put(self, "issued_at", values.get("iat"))
        put(self, "expires_at", values.get("exp"))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("claims are immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("claims are immutable")

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Claims kind={self.kind!r} names={sorted(self._values)}>"

    def __copy__(self) -> Claims:
        return self

    def __deepcopy__(self, _: object) -> Claims:
        return self

    def grants(self, *scopes: str) -> bool:
        """Whether the token grants every one of `scopes`."""
        return self.scopes.issuperset(scopes)

    def require_tenant(self) -> str:
        """The tenant; SettingsError where this kind of token names none."""
        if self.tenant is None:
            raise SettingsError(f"a token of kind {self.kind!r} names no tenant; give its settings tenant=")
        return self.tenant

    def to_dict(self) -> dict[str, Any]:
        """A copy as plain dicts and lists, for JSON and for changing."""
        return {name: _thawed(value) for name, value in self._values.items()}

    def typed(self, shape: type[_T]) -> _T:
        """These claims as `shape`, the TypedDict of their preset; TypeError for claims of another kind."""
        if shape is not self._shape:
            raise TypeError(f"claims of kind {self.kind!r} are not {shape.__name__}")
        return self.to_dict()  # type: ignore[return-value]


def identity_of(claims: Claims) -> str | None:
    """The name that this token is revoked and spent under; None for claims that no verifier made."""
    return claims._identity


def _client_id(values: Mapping[str, Any]) -> str | None:
    for name in ("client_id", "azp"):
        value = values.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _frozen(value: Any) -> Any:
    if type(value) is list:
        return tuple(_frozen(item) for item in value)
    if type(value) is dict:
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_thawed(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _thawed(item) for name, item in value.items()}
    return value
