"""What can be said of settings without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...keys import JwksKeys, SharedSecrets, StaticKeys
from ...keys.algorithms import ALGORITHMS
from ...settings import Kind, OpaqueTokens, SignedTokens
from ...settings.opaque import SHORTEST_SHARED_BYTES
from .rows import Row, ok, skipped, warn


def rows_of_settings(kind: Kind, *, is_shared: bool) -> Iterator[Row]:
    """Secrets, what is not checked, what is let pass, and how long revocations would be kept."""
    yield from _bindings(kind)
    yield from (warn("settings", kind.name, text, "read the platform's page in the docs") for text in kind.warnings)
    yield _secrets(kind, is_shared=is_shared)
    yield from _open(kind)
    yield _horizon(kind)


def _bindings(kind: Kind) -> Sequence[Row]:
    if not kind.unchecked:
        return [ok("bindings", kind.name, "issuer and audience are checked")]
    do = "give the value that your tokens have; with UNCHECKED a token for somebody else may pass"
    return [warn("bindings", kind.name, f"the {name} of tokens is not checked", do) for name in kind.unchecked]


def _secrets(kind: Kind, *, is_shared: bool) -> Row:
    if isinstance(kind, OpaqueTokens):
        return _client_secret(kind, is_shared=is_shared)
    if not isinstance(kind.keys, SharedSecrets):
        where = "at a URL" if isinstance(kind.keys, JwksKeys) else "in the settings"
        return skipped("secrets", kind.name, f"tokens are verified with public keys {where}")
    needed = max(ALGORITHMS[name].hash_bytes for name in kind.algorithms)
    says = _length(kind.keys)
    if kind.keys.shortest() < needed:
        do = f"take a secret of {needed} random bytes or more; a shorter one can be guessed from one token"
        return warn("secrets", kind.name, says, do)
    return ok("secrets", kind.name, f"{says}, and {needed} are enough")


def _length(secrets: SharedSecrets) -> str:
    which = "the secret" if len(secrets) == 1 else f"the shortest of {len(secrets)} secrets"
    return f"{which} has {secrets.shortest()} bytes"


def _client_secret(kind: OpaqueTokens, *, is_shared: bool) -> Row:
    says = _length(kind.secrets)
    if kind.may_share or not is_shared:
        return ok("secrets", kind.name, says)
    do = f"take one of {SHORTEST_SHARED_BYTES} bytes or more; until then each process asks the provider for itself"
    return warn("secrets", kind.name, f"{says}, so answers are not shared through the store", do)


def _open(kind: Kind) -> Iterator[Row]:
    who = "the provider" if isinstance(kind, OpaqueTokens) else "the key set"
    policy = kind.on_failure if isinstance(kind, OpaqueTokens) else _policy_of_keys(kind)
    if policy == "open":
        says = f"while {who} cannot be asked, tokens pass that it might refuse"
        yield warn("policies", kind.name, says, 'leave on_failure="open" out, unless that is what you want')


def _policy_of_keys(kind: SignedTokens) -> str:
    return kind.keys.on_failure if isinstance(kind.keys, JwksKeys) else "closed"


def _horizon(kind: Kind) -> Row:
    if kind.horizon is not None:
        return ok("lifetimes", kind.name, f"tokens live for {kind.horizon:g} s at most, and revocations as long")
    says = "nobody knows how long tokens live, so users and tenants cannot be revoked"
    return warn("lifetimes", kind.name, says, "give max_lifetime= or assumed_lifetime=")


def keys_at_hand(kind: SignedTokens) -> Row | None:
    """The keys that stand in the settings; None for a key set that must be fetched."""
    if isinstance(kind.keys, JwksKeys):
        return None
    what = "public key" if isinstance(kind.keys, StaticKeys) else "secret"
    several = "" if len(kind.keys) == 1 else "s"
    return ok("keys", kind.name, f"{len(kind.keys)} {what}{several}, for {', '.join(kind.algorithms)}")
