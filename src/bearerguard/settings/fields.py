"""The fields that several settings have: their types, and how they are checked and brought to one form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, get_args

from ..carriers import Cookie, Header, Query, is_header
from ..checks import check_function, check_text
from ..claim_rules import (
    NO_SCOPES,
    UNCHECKED,
    ClaimText,
    Expected,
    IfPresent,
    NamedRules,
    TextSource,
    Word,
    check_pattern,
    check_texts,
)
from ..claims import Claims
from ..errors import AuthError, SettingsError

ScopeSource: TypeAlias = "str | Callable[[Mapping[str, Any]], AbstractSet[str]] | Literal[Word.NO_SCOPES] | None"
RefusalHeaders: TypeAlias = "Mapping[type[AuthError], Mapping[str, str]]"
ClientAuth: TypeAlias = Literal["client_secret_basic", "client_secret_basic_raw", "client_secret_post"]
"""How we prove to a provider who we are.

`client_secret_basic` form-encodes id and secret as RFC 6749, section 2.3.1 asks; `client_secret_basic_raw` does not,
for providers that want them as they are; `client_secret_post` puts them into the body.
"""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class ClaimSettings(Protocol):
    """What the settings of every kind say about claims."""

    @property
    def name(self) -> str:
        """The kind."""
        ...

    @property
    def vouched_by(self) -> str:
        """The name that revocations are kept under."""
        ...

    @property
    def issuer(self) -> Expected:
        """Who must have issued the token."""
        ...

    @property
    def audience(self) -> Expected:
        """For whom it must have been issued."""
        ...

    @property
    def scopes(self) -> ScopeSource:
        """Where its scopes stand."""
        ...

    @property
    def tenant(self) -> TextSource:
        """Where its tenant stands."""
        ...

    @property
    def user(self) -> TextSource:
        """Where its user stands."""
        ...

    @property
    def rules(self) -> NamedRules:
        """What its other claims must be."""
        ...

    @property
    def checks(self) -> Sequence[Callable[[Mapping[str, Any]], bool]]:
        """Functions that look at all of its claims."""
        ...

    @property
    def each_time(self) -> Sequence[Callable[[Claims], bool]]:
        """Functions that look at them on every request."""
        ...

    @property
    def claims_type(self) -> type[Any] | None:
        """The TypedDict of its claims."""
        ...

    @property
    def sample(self) -> Mapping[str, Any]:
        """What such a token says, for tests."""
        ...


def a_tuple(name: str, value: Any) -> tuple[Any, ...]:
    """Several values as a tuple; SettingsError for one value where several are asked for."""
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise SettingsError(f"{name} takes several values; write {name}=({value!r},)")
    return tuple(value)


def check_name(name: object) -> None:
    """The name of a kind."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(f"name is {name!r}; use small letters, digits, '.', '_' and '-', as in 'whatalo.session'")


def check_expected(name: str, expected: object) -> None:
    """What the issuer or the audience of a token must be."""
    if expected is UNCHECKED:
        return
    if isinstance(expected, IfPresent):
        rule: object = expected.rule
        check_expected(name, None if rule is UNCHECKED else rule)
    elif isinstance(expected, (str, AbstractSet)):
        check_texts(name, expected)
    elif callable(expected):
        check_function(name, expected)
    elif isinstance(expected, re.Pattern):
        check_pattern(name, expected)
    else:
        raise SettingsError(f"{name} is {expected!r}; use a text, a set of texts, a pattern, a function or UNCHECKED")


def unchecked(issuer: Expected, audience: Expected) -> tuple[str, ...]:
    """Which of the two claims that bind a token to somebody are not checked."""
    return tuple(name for name, rule in (("issuer", issuer), ("audience", audience)) if rule is UNCHECKED)


def check_sources(settings: ClaimSettings) -> None:
    """Where scopes, tenant and user come from, and the functions that look at the claims."""
    check_text("authority", settings.vouched_by)
    if settings.scopes is not None and settings.scopes is not NO_SCOPES:
        _check_source("scopes", settings.scopes)
    for name, source in (("tenant", settings.tenant), ("user", settings.user)):
        if isinstance(source, ClaimText):
            check_text(name, source.claim)
            check_function(f"normalise of {name}", source.normalise)
        elif source is not None:
            _check_source(name, source)
    for function in (*settings.checks, *settings.each_time):
        check_function("a check", function)


def _check_source(name: str, source: object) -> None:
    check_text(name, source) if isinstance(source, str) else check_function(name, source)


def check_carriers(carriers: Sequence[object]) -> None:
    """Where a token may stand in a request."""
    for carrier in carriers:
        if not isinstance(carrier, (Header, Cookie, Query)):
            raise SettingsError(f"{carrier!r} is no carrier; use Header, Cookie or Query from bearerguard.carriers")
    if not carriers or len(set(carriers)) != len(carriers):
        raise SettingsError("carriers is empty or names one twice; write carriers=(Header('X-Session-Token'),)")


def check_client_auth(client_auth: object) -> None:
    """How we prove to a provider who we are."""
    known = get_args(ClientAuth)
    if client_auth not in known:
        raise SettingsError(f"client_auth is {client_auth!r}; use one of {', '.join(map(repr, known))}")


def checked_headers(added: Any) -> RefusalHeaders:
    """The headers of refusals, frozen; SettingsError unless each stands under a class of our errors."""
    if not isinstance(added, (Mapping, type(None))):
        raise SettingsError("refusal_headers maps errors to headers; write {InvalidToken: {'X-Retry': '1'}}")
    frozen = {cause: _headers_of(cause, headers) for cause, headers in (added or {}).items()}
    return MappingProxyType(frozen)


def _headers_of(cause: Any, headers: Any) -> Mapping[str, str]:
    if not (isinstance(cause, type) and issubclass(cause, AuthError) and isinstance(headers, Mapping)):
        raise SettingsError(f"refusal_headers has {cause!r}; write {{InvalidToken: {{'X-Retry': '1'}}}}")
    for name, value in headers.items():
        if not (isinstance(name, str) and isinstance(value, str) and is_header(name, value)):
            raise SettingsError(f"refusal_headers has a header {name!r} that cannot be sent; use printable ASCII")
    return MappingProxyType(dict(headers))


def checked_sample(sample: Any) -> Mapping[str, Any]:
    """The claims of a sample, independent of the dict that they were written in."""
    if not isinstance(sample, Mapping) or not all(isinstance(name, str) for name in sample):
        raise SettingsError("sample maps claim names to values; write sample={'iss': 'https://id.example.com'}")
    return MappingProxyType(dict(sample))


def normalised(what: str, source: TextSource, value: str, name: str) -> str:
    """A tenant or user as the tokens of a kind spell it; SettingsError where they name none."""
    if source is None:
        raise SettingsError(
            f"tokens of kind {name!r} name no {what}, so none can be revoked; give {what}= to the settings"
        )
    check_text(what, value)
    spelt = _spelt(source, value) if isinstance(source, ClaimText) else value
    if not spelt:
        raise SettingsError(f"{value!r} is no {what} of kind {name!r}; give it as its tokens spell it")
    return spelt


def _spelt(source: ClaimText, value: str) -> str | None:
    try:
        return source.normalise(value)
    except Exception:  # a normaliser may say in any way that a text is none of its own
        return None
