"""What a verified token says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from .errors import InvalidRequest

_T = TypeVar("_T")

_LEAVES = frozenset({str, int, float, bool, type(None)})


class Claims(Mapping[str, Any]):
    """The claims of one verified token: an immutable mapping, frozen to its leaves.

    ```python
    claims = current_claims()
    claims["iss"], claims.tenant, claims.grants("read:orders")
    ```
    """

    __slots__ = ("_authority", "_kind", "_scopes", "_shape", "_signed", "_tenant", "_user", "_values")

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        kind: str,
        tenant: str | None = None,
        user: str | None = None,
        scopes: frozenset[str] = frozenset(),
        shape: type[Any] | None = None,
        authority: str | None = None,
        signed: bytes | None = None,
    ) -> None:
        self._values = dict(values)
        if not _LEAVES.issuperset(map(type, values.values())):
            for name, value in values.items():
                if type(value) not in _LEAVES:
                    self._values[name] = _frozen(value)
        self._kind = kind
        self._tenant = tenant
        self._user = user
        self._scopes = scopes
        self._authority = authority
        self._signed = signed
        self._shape = shape

    @property
    def kind(self) -> str:
        """The name of the settings that accepted the token, as in "whatalo.session"."""
        return self._kind

    @property
    def tenant(self) -> str | None:
        """The shop or organisation that the token speaks for."""
        return self._tenant

    @property
    def user(self) -> str | None:
        """The person that the token speaks for."""
        return self._user

    @property
    def scopes(self) -> frozenset[str]:
        """What the token grants."""
        return self._scopes

    @property
    def subject(self) -> str | None:
        """The claim `sub`."""
        return self._values.get("sub")

    @property
    def token_id(self) -> str | None:
        """The claim `jti`."""
        return self._values.get("jti")

    @property
    def issuer(self) -> str | None:
        """The claim `iss`."""
        return self._values.get("iss")

    @property
    def client_id(self) -> str | None:
        """The claim `client_id`, or `azp`."""
        return _text(self._values.get("client_id")) or _text(self._values.get("azp"))

    @property
    def issued_at(self) -> float | None:
        """The claim `iat`."""
        return self._values.get("iat")

    @property
    def expires_at(self) -> float | None:
        """The claim `exp`."""
        return self._values.get("exp")

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
        """The tenant; InvalidRequest (400) for a good token that names none."""
        if self._tenant is None:
            raise InvalidRequest("missing_tenant")
        return self._tenant

    def to_dict(self) -> dict[str, Any]:
        """A copy as plain dicts and lists, for JSON and for changing."""
        return {name: _thawed(value) for name, value in self._values.items()}

    def typed(self, shape: type[_T]) -> _T:
        """These claims as `shape`, the TypedDict of their preset; TypeError for claims of another kind."""
        if shape is not self._shape:
            raise TypeError(f"claims of kind {self.kind!r} are not {shape.__name__}")
        return self.to_dict()  # type: ignore[return-value]


def origin_of(claims: Claims) -> tuple[str, str | bytes] | None:
    """Who vouches for the token, and its jti or what was signed; None for claims that no verifier made."""
    named = claims._signed if claims.token_id is None else claims.token_id
    return None if claims._authority is None or named is None else (claims._authority, named)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


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
