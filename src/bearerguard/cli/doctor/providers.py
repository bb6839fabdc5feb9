"""Whether a provider can be asked: its metadata, its keys, our credentials there, its clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ...core.keys import keys_of
from ...core.ports import HttpRequest, Ports, run_sync
from ...core.provider import Provider
from ...errors import InvalidToken, ProviderUnavailable, SettingsError
from ...events import KeysRefreshed
from ...keys import JwksKeys, SharedSecrets
from ...rules.discovery import Mismatch, NoMetadata, metadata_of, metadata_urls
from ...rules.jws import JoseHeader, SignedText
from ...settings import OpaqueTokens, SignedTokens
from ...settings.opaque import check_issuer_url
from ..call import Heard
from ..connecting import own_ports
from ..paper import plain
from .provider_trouble import Watched, clock_rows, trouble_of
from .rows import Row, fail, ok, skipped, warn

Note = Callable[[Row], None]


@contextmanager
def _watching() -> Iterator[tuple[Ports, Watched]]:
    with own_ports() as ports:
        watched = Watched(ports.fetch)
        yield ports._replace(fetch=watched), watched


# --- Opaque tokens ---------------------------------------------------------------------------------------------------


def examine_opaque(kind: OpaqueTokens, heard: Heard, note: Note) -> None:
    """The metadata, and each client secret with a made-up token."""
    with _watching() as (ports, watched):
        endpoint = _endpoint(kind, ports, watched, heard, note)
        if endpoint is None:
            note(skipped("credentials", kind.name, "nobody knows where to ask"))
        else:
            for index, secret in enumerate(kind.secrets.in_order):
                alone = replace(kind, client_secret=SharedSecrets(secret))
                note(_credentials(alone, index, len(kind.secrets), endpoint, ports, watched, heard))
        for row in clock_rows(kind.name, watched):
            note(row)


def _endpoint(kind: OpaqueTokens, ports: Ports, watched: Watched, heard: Heard, note: Note) -> str | None:
    mark, provider = heard.mark(), Provider(kind, time.time, time.monotonic)
    if kind.introspection_endpoint is not None:
        note(skipped("discovery", kind.name, "the settings say where to ask"))
        return kind.introspection_endpoint
    try:
        endpoint = run_sync(provider.endpoint(ports, within=kind.deadline))
    except ProviderUnavailable:
        says, do = trouble_of(watched, heard.since(mark), "publish metadata, or give introspection_endpoint=")
        note(fail("discovery", kind.name, says, do))
        return None
    note(ok("discovery", kind.name, f"tokens are asked about at {plain(endpoint)}"))
    return endpoint


def _credentials(
    kind: OpaqueTokens, index: int, count: int, endpoint: str, ports: Ports, watched: Watched, heard: Heard
) -> Row:
    which = "the client secret" if count == 1 else f"client secret {index + 1} of {count}"
    mark, provider, started = heard.mark(), Provider(kind, time.time, time.monotonic), time.monotonic()
    made_up = secrets.token_urlsafe(32).encode()
    try:
        said = run_sync(provider.said(made_up, endpoint, ports, ends_at=started + kind.deadline))
    except ProviderUnavailable as error:
        if error.reason == "client_refused":
            do = "compare client_id, client_secret and client_auth with what the provider has"
            return fail("credentials", kind.name, f"the provider refuses {which}", do)
        says, do = trouble_of(watched, heard.since(mark), "look at the introspection endpoint")
        return fail("credentials", kind.name, says, do)
    except InvalidToken:
        return _calls_anything_active(kind)
    if said.answer is not None:
        return _calls_anything_active(kind)
    took = (time.monotonic() - started) * 1000
    return ok("credentials", kind.name, f"the provider takes {which}, in {took:.0f} ms")


def _calls_anything_active(kind: OpaqueTokens) -> Row:
    do = "do not use this provider: whoever makes up a token would pass"
    return fail("credentials", kind.name, "the provider calls a made-up token active", do)


# --- Signed tokens ---------------------------------------------------------------------------------------------------


def examine_keys(kind: SignedTokens, heard: Heard, note: Note) -> None:
    """The key set, and whether the issuer's metadata names the same one."""
    if not isinstance(kind.keys, JwksKeys):
        return
    with _watching() as (ports, watched):
        note(_key_set(kind, ports, watched, heard))
        fetched = len(watched.answers)
        row = _metadata_agrees(kind, kind.keys.url, ports)
        if row is not None:
            note(row)
        watched.answers[:] = watched.answers[: max(1, fetched)]
        for each in clock_rows(kind.name, watched):
            note(each)


def _key_set(kind: SignedTokens, ports: Ports, watched: Watched, heard: Heard) -> Row:
    mark, started = heard.mark(), time.monotonic()
    asked = JoseHeader(kind.algorithms[0], secrets.token_urlsafe(16), None)
    try:
        run_sync(keys_of(kind, time.monotonic).verified(asked, SignedText(b"-", b"-", b"-", b"-"), ports))
    except InvalidToken:
        pass  # the set was fetched, and has no key of a name that was made up just now
    except ProviderUnavailable:
        says, do = trouble_of(watched, heard.since(mark), "compare the URL with jwks_uri in the provider's metadata")
        return fail("keys", kind.name, says, do)
    count = sum(event.keys for event in heard.since(mark) if isinstance(event, KeysRefreshed))
    took = (time.monotonic() - started) * 1000
    return ok("keys", kind.name, f"the key set has {count} that fit, for {_names(kind.algorithms)}, in {took:.0f} ms")


def _names(algorithms: Sequence[str]) -> str:
    return ", ".join(algorithms[:3]) + (" and others" if len(algorithms) > 3 else "")


def _metadata_agrees(kind: SignedTokens, url: str, ports: Ports) -> Row | None:
    """Whether the issuer's own metadata names this key set; nothing for an issuer that is no URL."""
    issuer = kind.issuer
    if not isinstance(issuer, str) or not _is_issuer_url(issuer):
        return None
    try:
        named = run_sync(_jwks_uri(issuer, ports))
    except Mismatch as error:
        return warn("discovery", kind.name, str(error), "spell the issuer as its metadata and its tokens do")
    except ProviderUnavailable:
        return skipped("discovery", kind.name, "the issuer's metadata could not be asked for")
    if named is None:
        return skipped("discovery", kind.name, "the issuer publishes no metadata to compare with")
    if named == url:
        return ok("discovery", kind.name, "the issuer's metadata names the same key set")
    return warn("discovery", kind.name, f"the issuer's metadata names another key set: {plain(named)}", "take that one")


def _is_issuer_url(issuer: str) -> bool:
    try:
        check_issuer_url(issuer)
    except SettingsError:
        return False
    return True


async def _jwks_uri(issuer: str, ports: Ports) -> str | None:
    """The key set that the metadata names; ProviderUnavailable where a place of the metadata did not answer."""
    failure: ProviderUnavailable | None = None
    for url in metadata_urls(issuer):
        try:
            answer = await ports.fetch.send(HttpRequest(url, headers={"accept": "application/json"}), within=2.0)
            named = metadata_of(answer.body, issuer=issuer).get("jwks_uri") if answer.status == 200 else None
        except NoMetadata:
            named = None
        except ProviderUnavailable as error:
            named, failure = None, error
        if isinstance(named, str):
            return named
    if failure is not None:
        raise failure
    return None
