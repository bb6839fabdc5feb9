"""`mint`: a token for trying things, signed with a made-up key, or with a real secret for an hour at most."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..claim_rules import NO_SCOPES
from ..encoding import from_base64url, strict_json_object
from ..keys import JwksKeys, SharedSecrets
from ..settings import Kind, SignedTokens
from ..verifier import Verifier
from .call import Call
from .inspection.steps import Verdict
from .inspection.telling import facts_of_verdict, verdict_line
from .inspection.verb import verdict_on
from .outcomes import Answer, ExitCode, WrongUsage
from .paper import Paper, moment, plain
from .presets import given_in, parameters_of, preset_named, settings_of
from .which import verifier_in

if TYPE_CHECKING:
    from ..testing import TestKeys

LONGEST_SECONDS = 3600
_NO_KEYS = JwksKeys("https://keys.invalid/jwks.json")
# What the function that mints takes itself, and so cannot take as a claim.
_WORDS = frozenset({"tenant", "user", "scopes", "lifetime", "keys", "now", "without", "headers"})


def mint(call: Call) -> Answer:
    """What `bearerguard mint` makes."""
    from ..testing import TestKeys
    from ..testing import mint as minted

    keys = None if call.args.with_real_secret else TestKeys()
    settings = _settings(call, keys)
    _check_can_carry(settings, call.args)
    token = minted(settings, keys=keys, **_wishes(call.args))
    if keys is None:
        _check_ends_soon(token, now=call.now())
    elif call.args.save_keys is not None:
        _save(call.args.save_keys, settings, keys)
    with Verifier(settings) as verifier:
        verdict = verdict_on(token, verifier, None)
    return Answer(ExitCode.FINE, _facts(token, settings, keys, verdict), [token], _aside(call, settings, keys, verdict))


# --- Whose token it is -----------------------------------------------------------------------------------------------


def _settings(call: Call, keys: TestKeys | None) -> SignedTokens:
    kind = _of_real_secret(call) if keys is None else _of_test_keys(call, keys)
    if not isinstance(kind, SignedTokens):
        raise WrongUsage(f"{kind.name} tokens are opaque: only their provider can make one")
    return kind


def _of_real_secret(call: Call) -> Kind:
    args = call.args
    if args.app is not None:
        raise WrongUsage(
            "--with-real-secret does not go with --app: no secret is read out of an app; hand it over, as in "
            "printenv NAME | bearerguard mint --preset ... --with-real-secret --client-secret-file -"
        )
    if args.preset is None or args.client_secret_file is None or args.client_secret_env is not None:
        raise WrongUsage(
            "--with-real-secret takes --preset NAME and --client-secret-file FILE ('-' for standard input)"
        )
    if args.save_keys is not None:
        raise WrongUsage("--save-keys saves keys that are made up; with --with-real-secret there are none")
    settings = settings_of(args, call.sources)
    if not isinstance(settings, SignedTokens) or not isinstance(settings.keys, SharedSecrets):
        raise WrongUsage(
            f"{settings.name} tokens are not signed with a secret of yours: only the platform can make one"
        )
    return settings


def _of_test_keys(call: Call, keys: TestKeys) -> Kind:
    args = call.args
    if args.client_secret_file is not None or args.client_secret_env is not None:
        raise WrongUsage("with a secret of yours the token would be real; say --with-real-secret if you mean it")
    if args.preset is not None and args.app is None:
        return _preset(call, keys)
    verifier = verifier_in(args, call.sources)
    if verifier is None:
        raise WrongUsage("say what token: --preset NAME with its options, or --app MODULE:NAME")
    return _with_test_keys(_one_kind(verifier, args.kind), keys)


def _preset(call: Call, keys: TestKeys) -> Kind:
    preset = preset_named(call.args.preset)
    takes, needs = parameters_of(preset)
    extra: dict[str, Any] = {}
    if "client_secret" in needs:
        extra["client_secret"] = keys.secret
    elif "keys" in takes and not given_in(call.args, call.sources).keys() & {"keys", "jwks_url"}:
        extra["keys"] = _NO_KEYS
    return _with_test_keys(settings_of(call.args, call.sources, extra=extra), keys)


def _one_kind(verifier: Verifier[Any], name: str | None) -> Kind:
    kinds: Sequence[Kind] = [kind for kind in verifier.kinds if name in (None, kind.name)]
    if len(kinds) != 1:
        raise WrongUsage(f"say which kind: --kind with one of {', '.join(kind.name for kind in verifier.kinds)}")
    return kinds[0]


def _with_test_keys(kind: Kind, keys: TestKeys) -> Kind:
    """The same settings, with keys that nobody trusts in the place of their own."""
    if not isinstance(kind, SignedTokens):
        return kind
    if isinstance(kind.keys, SharedSecrets):
        return replace(kind, keys=SharedSecrets(keys.secret))
    able = tuple(name for name in kind.algorithms if keys.signs(name))
    if not able:
        raise WrongUsage(f"there are no test keys for {', '.join(kind.algorithms)}")
    return replace(kind, keys=keys.static(*able), algorithms=able)


# --- What it says ----------------------------------------------------------------------------------------------------


def _check_can_carry(settings: SignedTokens, args: Namespace) -> None:
    """Said here in the words of the command: the function that mints speaks of its own arguments."""
    carried = {
        "scopes": ("--scope", bool(args.scope) and settings.scopes is NO_SCOPES),
        "tenant": ("--tenant", args.tenant is not None and settings.tenant is None),
        "user": ("--user", args.user is not None and settings.user is None),
    }
    for what, (flag, is_too_much) in carried.items():
        if is_too_much:
            raise WrongUsage(f"{settings.name} tokens carry no {what}; leave {flag} out")


def _wishes(args: Namespace) -> dict[str, Any]:
    if not 0 < args.lifetime <= LONGEST_SECONDS:
        raise WrongUsage(f"--lifetime is {args.lifetime:g}; use a number of seconds up to {LONGEST_SECONDS}")
    claims = dict(_pair("--claim", text) for text in args.claim)
    if reserved := sorted(claims.keys() & _WORDS):
        raise WrongUsage(f"--claim cannot set a claim that is called {', '.join(reserved)}")
    return {
        "tenant": args.tenant,
        "user": args.user,
        "scopes": args.scope or None,
        "lifetime": args.lifetime,
        "without": tuple(args.without),
        "headers": dict(_pair("--header", text) for text in args.header) or None,
        **claims,
    }


def _pair(flag: str, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise WrongUsage(f"{flag} {plain(text)}: write NAME=VALUE; a value that is JSON is taken as such")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _check_ends_soon(token: str, *, now: float) -> None:
    """A token that is good must not live for more than an hour, whatever claims were asked for."""
    payload = strict_json_object(from_base64url(token.split(".")[1].encode("ascii")))
    ends = payload.get("exp")
    if type(ends) not in (int, float) or ends > now + LONGEST_SECONDS + 1:  # type: ignore[operator]
        raise WrongUsage("with --with-real-secret a token ends within an hour; leave its exp as it is")


def _save(path: str, settings: SignedTokens, keys: TestKeys) -> None:
    """The keys that a verifier needs for the token, for the eyes of their owner alone."""
    is_shared = isinstance(settings.keys, SharedSecrets)
    text = keys.secret if is_shared else json.dumps(keys.jwks(*settings.algorithms))
    try:
        with os.fdopen(os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
    except FileExistsError:
        other = (
            "; or sign one more token with the secret in it: --with-real-secret --client-secret-file FILE"
            if is_shared
            else ""
        )
        raise WrongUsage(
            f"--save-keys: {plain(path)} is there already, and is not written over; name another file{other}"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise WrongUsage(f"--save-keys: {plain(path)} cannot be written: {why}") from error


# --- How it is told --------------------------------------------------------------------------------------------------


def _facts(token: str, settings: SignedTokens, keys: TestKeys | None, verdict: Verdict) -> dict[str, Any]:
    return {
        "token": token,
        "kind": settings.name,
        "real": keys is None,
        "verdict": facts_of_verdict(verdict),
    }


def _aside(call: Call, settings: SignedTokens, keys: TestKeys | None, verdict: Verdict) -> list[str]:
    if keys is None:
        signed = "signed with the secret that you gave: it is good wherever that secret is trusted"
    elif call.args.save_keys is None:
        signed = "signed with a key that was made up and is gone by now: only --save-keys would let anybody accept it"
    else:
        what = "secret" if isinstance(settings.keys, SharedSecrets) else "key set"
        signed = f"signed with a key that was made up; the {what} for its verifier is in {plain(call.args.save_keys)}"
    ends = getattr(verdict, "expires_at", None)
    until = "" if ends is None else f", until {moment(ends)}"
    return [signed, f"{_judge(call, keys)}: {verdict_line(verdict, Paper())}{until}"]


def _judge(call: Call, keys: TestKeys | None) -> str:
    """Whose verdict it is: for a made-up key that of a verifier which would have it, and the app has another."""
    if keys is None:
        return "under these settings, with that secret"
    which = "that key" if call.args.app is None else "that key, where your app has another,"
    return f"a verifier with these settings and {which} says"
