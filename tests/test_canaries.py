"""Canaries: values that can be told from all others are driven through everything, and sing nowhere.

Whatever log, event, exception, repr, answer, span, metric, key or value came of it is searched for every sixteen
letters of every canary, in every spelling in which it would reveal itself.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gc
import itertools
import json
import logging
import secrets
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, quote_plus

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import (
    BearerguardError,
    ClientCredentials,
    InvalidToken,
    JwksKeys,
    OpaqueTokens,
    RedisStore,
    SharedSecrets,
    SignedTokens,
    Verifier,
    current_claims,
    journal,
    requires_scope,
    single_use,
)
from bearerguard.claim_rules import ClaimText
from bearerguard.core.ports import Ports, run_sync
from bearerguard.events import Event, StoreEvicts, TokenAccepted
from bearerguard.otel import OpenTelemetrySink
from bearerguard.sinks import add_sink, tell
from tests.doors import Answer, Ask, answer_of_asgi, ask_wsgi, bearer
from tests.hostile import AUDIENCE, ISSUER
from tests.houses import BEARER, QUERY
from tests.minting import mint, private_key, public_jwk
from tests.scripted_provider import (
    Line,
    Play,
    ScriptedProvider,
    answer,
    gzipped,
    hang_up,
    in_turn,
    json_answer,
    raw,
    redirect,
    status,
    truncated,
)
from tests.scripted_redis import Command, scripted_redis
from tests.servers import NO_OWN_REDIS, RedisServer, free_port, own_redis_names, redis_binaries, start_redis

LONG_ON_OTHER_SERVERS = True

LETTERS = 16
"""So many letters of a canary in a row, or of one of its spellings, are a leak."""

LONGEST = 600
"""Of a longer canary, this much is looked for."""

DoorName: TypeAlias = Literal["asgi", "wsgi", "verify", "averify"]
DOORS: Sequence[DoorName] = ("asgi", "wsgi", "verify", "averify")

REDIS_PASSWORD = f"cnry-{secrets.token_hex(20)}"


# --- The scan --------------------------------------------------------------------------------------------------------


class Canaries(dict[str, str]):
    """Values by name, no two runs with the same ones."""

    def new(self, name: str) -> str:
        """Another one; it has what must be escaped in a form, in a URL and in JSON."""
        value = self[name] = f"cnry {secrets.token_hex(12)}+{secrets.token_hex(12)}/\u00e9{secrets.token_hex(12)}"
        return value

    def plain(self, name: str) -> str:
        """Another one of letters that every syntax takes."""
        value = self[name] = f"cnry-{secrets.token_hex(20)}"
        return value

    def token(self, name: str, text: str) -> str:
        """A token, of which the payload from its first canary on is one, and the signature."""
        _, payload, signature = text.split(".")
        ahead = base64.urlsafe_b64decode(f"{payload}===").partition(b"cnry")[0]
        self[f"payload of {name}"] = payload[(len(ahead) + 2) // 3 * 4 :]
        self[f"signature of {name}"] = signature
        return text


def spellings(value: str) -> Iterator[str]:
    """How a value may be written so that whoever sees it knows it."""
    data = value.encode()
    yield from (value, value[::-1], data.hex(), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1])
    yield from (ascii(value)[1:-1], repr(data)[2:-1], data.decode("latin-1"))
    for ahead in range(3):
        # The letters at either end are made of what stands around it as well.
        wide = base64.b64encode(bytes(ahead) + data + bytes(3))[4 if ahead else 0 : -8].decode()
        yield from (wide, wide.replace("+", "-").replace("/", "_"))


def pieces(text: str) -> Iterator[str]:
    """Every so many letters in a row."""
    text = text.casefold()
    return (text[start : start + LETTERS] for start in range(max(0, len(text) - LETTERS) + 1))


class Scan:
    """Searches texts for canaries."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        self._known = {
            piece: name
            for name, value in canaries.items()
            for spelling in spellings(value[:LONGEST])
            for piece in pieces(spelling)
            if len(piece) == LETTERS
        }

    def found_in(self, text: str) -> set[str]:
        """The names of the canaries that a text reveals."""
        return {self._known[piece] for piece in self._known.keys() & {*pieces(text)}}


# --- What is overheard -----------------------------------------------------------------------------------------------


class Overheard:
    """Everything that others may see of what happens meanwhile, by where they see it."""

    def __init__(self) -> None:
        self.scene = ""
        """What is being tried, where a test tries one thing after the other."""
        self.texts: set[tuple[str, str]] = set()
        self.facts: set[tuple[str, str]] = set()
        """Where verified values may stand: the proven facts of a provider's answer, and a tenant."""

    def hear(self, where: str, *texts: object) -> None:
        """Something was seen there."""
        place = f"{where} ({self.scene})" if self.scene else where
        self.texts |= {(place, text if isinstance(text, str) else repr(text)) for text in texts}

    def hear_facts(self, where: str, text: str) -> None:
        """Something was seen where verified values may stand."""
        self.facts.add((where, text))

    def hear_error(self, error: BaseException) -> None:
        """An exception, and all that hang on it."""
        self.hear("traceback", "".join(traceback.format_exception(error)))
        found: list[BaseException | None] = [error]
        for each in found:
            if each is not None and len(found) < 100:
                self.hear("exception", str(each), repr(each), each.args, getattr(each, "__notes__", ""))
                self.hear("what an exception holds", getattr(each, "__dict__", {}))
                found += [each.__cause__, each.__context__]
                found += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        for name in ("headers", "body", "challenge"):
            if isinstance(error, BearerguardError) and hasattr(error, name):
                self.hear(f"{name} of a refusal", getattr(error, name)())

    def hear_event(self, event: Event) -> None:
        """An event; who was let in is no secret."""
        seen = dataclasses.replace(event, tenant=None) if isinstance(event, TokenAccepted) else event
        self.hear("event", repr(seen), str(seen), dataclasses.asdict(seen))
        self.hear_facts("event", repr(event))

    def hear_reprs(self) -> None:
        """What every object of ours that is kept says of itself."""
        gc.collect()
        for each in gc.get_objects():
            kind = type(each)
            if kind is not type and kind.__module__.startswith("bearerguard."):
                self.hear(f"repr of {kind.__qualname__}", repr(each), str(each))


class Ear(logging.Handler):
    """Hears every line that is logged, with its traceback and its arguments."""

    def __init__(self, overheard: Overheard) -> None:
        super().__init__(logging.DEBUG)
        self._overheard = overheard

    def emit(self, record: logging.LogRecord) -> None:
        where = f"log of {record.name}"
        self._overheard.hear(where, logging.Formatter().format(record), record.__dict__)
        if record.exc_info and record.exc_info[1] is not None:
            self._overheard.hear_error(record.exc_info[1])


@contextmanager
def everything_logged(overheard: Overheard) -> Iterator[None]:
    """Every logger there is speaks at DEBUG, and is heard."""
    root = logging.getLogger()
    level, ear = root.level, Ear(overheard)
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(ear)


@contextmanager
def every_event(overheard: Overheard) -> Iterator[None]:
    """A sink of the application's own hears all, and OpenTelemetry's."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    removers = [add_sink(overheard.hear_event), add_sink(OpenTelemetrySink(meters))]
    try:
        yield
    finally:
        for remove in removers:
            remove()
        measured = reader.get_metrics_data()
        overheard.hear("metrics", "" if measured is None else measured.to_json())
        meters.shutdown()


@contextmanager
def one_span(overheard: Overheard) -> Iterator[None]:
    """A span as the OpenTelemetry middleware has one around the door."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("tests").start_as_current_span("GET /") as span:
        assert trace.get_current_span() is span
        yield
    for each in exporter.get_finished_spans():
        overheard.hear("span", each.to_json())


FACTS = ":i:"
"""What names an entry that keeps a provider's answer, whose facts are proven and verified."""


@contextmanager
def monitored(server: RedisServer, overheard: Overheard) -> Iterator[None]:
    """Every command that a server is sent, in and out of scripts."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        stream = connection.makefile("rb")
        connection.sendall(f"AUTH {REDIS_PASSWORD}\r\nMONITOR\r\n".encode())
        assert [stream.readline(), stream.readline()] == [b"+OK\r\n"] * 2
        yield
        server.cli("ECHO", "that is all")
        for line in iter(stream.readline, b""):
            if b'"that is all"' in line:
                break
            text = line.decode("latin-1")
            (overheard.hear_facts if FACTS in text else overheard.hear)("MONITOR", text)
        stream.close()


def hear_what_is_kept(server: RedisServer, overheard: Overheard) -> None:
    """Every key of a server, and what stands under it."""
    for key in server.cli("KEYS", "*"):
        overheard.hear("key in Redis", key.decode("latin-1"))
        kind = server.cli("TYPE", key)
        value = server.cli(
            *{b"stream": ("XRANGE", key, "-", "+"), b"list": ("LRANGE", key, 0, -1)}.get(kind, ("GET", key))
        )
        (overheard.hear_facts if FACTS.encode() in key else overheard.hear)("value in Redis", repr(value))


# --- The house -------------------------------------------------------------------------------------------------------


def view() -> str:
    """What everybody may see who is let in."""
    assert current_claims().kind in ("shop.session", "shop.access")
    return "done"


VIEWS: Mapping[str, Callable[[], str]] = {
    "/": view,
    "/once": single_use(view),
    "/write": requires_scope("write:orders")(view),
}


class House:
    """An application that takes signed and opaque tokens; its secrets are canaries, and all that it says is heard."""

    def __init__(self, door: DoorName, provider: ScriptedProvider, server: RedisServer, overheard: Overheard) -> None:
        self.canaries = Canaries({"Redis password": REDIS_PASSWORD})
        self.door = door
        self.provider = provider
        self.server = server
        self.overheard = overheard
        self.secret = self.canaries.new("secret")
        self.old_secret = self.canaries.new("old secret")
        self.client_secret = self.canaries.new("client secret of the provider")
        self.old_client_secret = self.canaries.new("old client secret of the provider")
        self.runner = asyncio.Runner()
        self._verifiers: list[Verifier[Any]] = []
        self._serial = itertools.count()
        self.store: str | RedisStore = server.url
        self.verifier = self.new_verifier()

    # --- Settings ----------------------------------------------------------------------------------------------------

    def signed_kind(self, **changes: Any) -> SignedTokens:
        """Settings of signed tokens."""
        usual: dict[str, Any] = {
            "name": "shop.session",
            "keys": SharedSecrets(self.secret, self.old_secret),
            "algorithms": ("HS256",),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "tenant": "tenant",
            "user": "sub",
            "authority": "shop",
            "assumed_lifetime": 3600,
        }
        return SignedTokens(**usual | changes)

    def opaque_kind(self, **changes: Any) -> OpaqueTokens:
        """Settings of opaque tokens."""
        usual: dict[str, Any] = {
            "name": "shop.access",
            "issuer": "https://opaque.example.com",
            "client_id": "orders-api",
            "client_secret": SharedSecrets(self.client_secret, self.old_client_secret),
            "audience": AUDIENCE,
            "introspection_endpoint": self.provider.url("/introspect"),
            "tenant": "tenant",
            "user": "sub",
            "authority": "shop",
            "assumed_lifetime": 3600,
        }
        return OpaqueTokens(**usual | changes)

    def new_verifier(self, *kinds: SignedTokens | OpaqueTokens) -> Verifier[Any]:
        """As another process would have one; of both kinds, where none is given."""
        first, *more = kinds or (self.signed_kind(), self.opaque_kind())
        self.verifier = Verifier(first, *more, store=self.store, any_kind=True)
        self._verifiers.append(self.verifier)
        return self.verifier

    # --- Tokens ------------------------------------------------------------------------------------------------------

    def words(self, name: str, **changes: Any) -> dict[str, Any]:
        """What a good token says, each value a canary; one that is changed to `...` is left out."""
        now, number = int(time.time()), next(self._serial)
        whole = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now - 5,
            "exp": now + 600,
            **{each: self.canaries.new(f"{each} of {name} {number}") for each in ("jti", "sub", "tenant", "private")},
        }
        return {each: value for each, value in (whole | changes).items() if value is not ...}

    def signed(
        self, name: str = "signed", *, key: Any = None, headers: Any = None, alg: str = "HS256", **changes: Any
    ) -> str:
        """A signed token."""
        text = mint(self.words(name, **changes), key=key or self.secret, alg=alg, headers=headers)
        return self.canaries.token(f"{name} {next(self._serial)}", text)

    def opaque(self) -> str:
        """An opaque token; what the provider says of it is for the test to script."""
        return self.canaries.plain(f"opaque {next(self._serial)}")

    def says(self, **changes: Any) -> Play:
        """The provider's good answer, changed."""
        good = {"active": True} | self.words("answer", iss="https://opaque.example.com")
        return json_answer(good | changes)

    # --- Asking ------------------------------------------------------------------------------------------------------

    def ask(self, text: str, path: str = "/") -> str:
        """`good`, or the reason word or the error code with which a token is refused."""
        with one_span(self.overheard):
            if self.door in ("asgi", "wsgi"):
                return self.told(self._answered(Ask(path, [bearer(text)])))
            return self._verified(text)

    def ask_in_query(self, text: str) -> str:
        """The same, where a door takes the token out of the URL."""
        return self.told(self._answered(Ask(f"/?id_token={text}")))

    def told(self, answered: Answer) -> str:
        """What an answer comes down to."""
        self.overheard.hear("answer", answered.body.decode(), *(f"{name}: {value}" for name, value in answered.headers))
        return "good" if answered.status == 200 else str(answered.json()["error"])

    def _answered(self, ask: Ask) -> Answer:
        if self.door == "asgi":
            return self.runner.run(answer_of_asgi(bearerguard.asgi.BearerMiddleware(asgi_app, self.verifier), ask))
        return ask_wsgi(bearerguard.wsgi.BearerMiddleware(wsgi_app, self.verifier), ask)

    def _verified(self, text: str) -> str:
        return self.heard(lambda: self.call(self.verifier, "verify", text))

    def heard(self, call: Callable[[], object]) -> str:
        """What comes of a call: `good`, or the error code or reason word of our own error."""
        try:
            self.overheard.hear("what a call gives", repr(call()))
        except BearerguardError as error:
            self.overheard.hear_error(error)
            return getattr(error, "error", "settings")
        return "good"

    def call(self, target: Any, method: str, *args: Any, **options: Any) -> Any:
        """A method or its async twin, as the door has it."""
        if self.door in ("asgi", "averify"):
            return self.runner.run(getattr(target, f"a{method}")(*args, **options))
        return getattr(target, method)(*args, **options)

    def claims(self, text: str) -> Any:
        """The claims of a good token."""
        return self.call(self.verifier, "verify", text)

    def scenes(self, names: Iterable[str]) -> Iterator[str]:
        """One after the other; a leak will be told with the name of its scene."""
        for name in names:
            self.overheard.scene = name
            yield name
        self.overheard.scene = ""

    # --- The end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what was opened."""
        for verifier in self._verifiers:
            self.call(verifier, "close")
        self.runner.close()

    def assert_silent(self) -> None:
        """No canary was heard, and none of those that nobody may know was among the verified values."""
        scan, heard = Scan(self.canaries), self.overheard
        assert len(heard.texts) > 10
        leaks = {(where, name) for where, text in heard.texts for name in scan.found_in(text)}
        leaks |= {(where, name) for where, text in heard.facts for name in scan.found_in(text) if not is_fact(name)}
        assert not leaks, "\n".join(f"{where} reveals {name}" for where, name in sorted(leaks))


def is_fact(name: str) -> bool:
    """Whether a canary is what a good token says, or a provider of one."""
    return name.startswith(("jti of", "sub of", "tenant of", "private of"))


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    said = VIEWS[scope["path"]]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    said = VIEWS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[RedisServer]:
    """A server of our own behind a password."""
    if not own_redis_names():
        pytest.fail(NO_OWN_REDIS)
    server = start_redis(redis_binaries()[0], password=REDIS_PASSWORD)
    yield server
    server.close()


@pytest.fixture(params=DOORS)
def house(
    request: pytest.FixtureRequest, guarded_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """Whatever a test does with it, no canary may be heard."""
    monkeypatch.setattr(journal, "LINES_PER_SECOND", 1000)
    guarded_server.flush()
    overheard = Overheard()
    gc.freeze()  # so that only new objects are looked through
    with ExitStack() as stack:
        for listening in (everything_logged, every_event):
            stack.enter_context(listening(overheard))
        provider = stack.enter_context(ScriptedProvider())
        house = House(request.param, provider, guarded_server, overheard)
        stack.callback(house.close)
        with monitored(guarded_server, overheard):
            yield house
        overheard.hear_reprs()
        hear_what_is_kept(guarded_server, overheard)
    house.assert_silent()


@contextmanager
def raising_sink(said: str) -> Iterator[None]:
    """A sink that raises what it must not say."""

    def sink(event: Event) -> None:
        raise ValueError(said, event)

    remove = add_sink(sink)
    try:
        yield
    finally:
        remove()


# --- Signed tokens ---------------------------------------------------------------------------------------------------


def test_good_tokens(house: House) -> None:
    text = house.signed()
    assert [house.ask(text), house.ask(text), house.ask(house.signed(jti=...))] == ["good"] * 3
    assert house.ask(house.signed(key=house.old_secret)) == "good"


def not_a_token(house: House) -> str:
    return house.canaries.plain("no token") + "." + house.canaries.plain("at") + "." + house.canaries.plain("all")


def tampered(house: House) -> str:
    signing_input, _, signature = house.signed("tampered").rpartition(".")
    return f"{signing_input}.{signature[::-1]}"


BAD: Mapping[str, Callable[[House], str]] = {
    "expired": lambda house: house.signed("expired", exp=1_600_000_000),
    "early": lambda house: house.signed("early", nbf=4_000_000_000, exp=4_000_000_600),
    "tampered": tampered,
    "forged": lambda house: house.signed("forged", key=house.canaries.new("a stranger's secret")),
    "of another issuer": lambda house: house.signed("stranger", iss=house.canaries.new("issuer")),
    "for others": lambda house: house.signed("foreign", aud=house.canaries.new("audience")),
    "header": lambda house: house.signed("header", headers={"kid": house.canaries.new("kid"), "crit": ["exp"]}),
    "algorithm": lambda house: house.signed("alg", headers={"alg": house.canaries.new("alg")}),
    "words": lambda house: house.signed("words", sub=[house.canaries.new("odd sub")]),
    "times": lambda house: house.signed("times", exp=house.canaries.new("odd exp")),
    "long id": lambda house: house.signed("long", jti=house.canaries.new("long jti") * 9),
    "heavy": lambda house: house.signed("heavy", ballast=house.canaries.new("ballast") * 110),
    "of lone surrogates": lambda house: house.signed("lone", sub="\ud800" + house.canaries.new("lone sub")),
    "not JSON": lambda house: house.canaries.token("broken", mint(house.canaries.new("broken payload").encode())),
    "no token": not_a_token,
    "odd letters": lambda house: house.opaque() + "\u00e9",
}


def test_bad_tokens(house: House) -> None:
    for bad in house.scenes(BAD):
        text = BAD[bad](house)
        told = {house.ask(text) for _ in range(2)}
        assert told <= {"invalid_token", "invalid_request"}


def test_tokens_in_the_url(house: House) -> None:
    if house.door in ("verify", "averify"):
        # No URL here.
        assert house.ask(house.signed()) == "good"
        return
    house.new_verifier(house.signed_kind(carriers=(BEARER, QUERY)))
    assert house.ask_in_query(house.signed()) == "good"
    assert house.ask_in_query(tampered(house)) == "invalid_token"


@pytest.mark.parametrize("by", ["claims", "id", "user", "tenant"])
def test_revoked_tokens(house: House, by: str) -> None:
    text = house.signed()
    claims = house.claims(text)
    how: Mapping[str, tuple[Any, ...]] = {
        "claims": ("revoke", claims),
        "id": ("revoke_id", claims.token_id),
        "user": ("revoke_user", claims.user),
        "tenant": ("revoke_tenant", claims.tenant),
    }
    method, *args = how[by]
    options = {"until": claims.expires_at} if by == "id" else {}
    house.call(house.verifier.denylist, method, *args, **options)
    assert house.ask(text) == "invalid_token"
    assert house.call(house.verifier.denylist, "status", claims) == "revoked"


def test_what_the_denylist_is_asked_in_vain(house: House) -> None:
    name = house.canaries.new("a name")
    denylist = house.verifier.denylist
    assert house.heard(lambda: house.call(denylist, "revoke_id", name, until=-1)) == "settings"
    assert house.heard(lambda: house.call(denylist, "revoke_user", name, issued_before=-1)) == "settings"
    house.new_verifier(house.signed_kind(user=None, tenant=None))
    assert house.heard(lambda: house.call(house.verifier.denylist, "revoke_user", name)) == "settings"
    assert house.heard(lambda: house.call(house.verifier.denylist, "revoke_tenant", name)) == "settings"


def test_tokens_that_are_used_twice_or_are_not_enough(house: House) -> None:
    text = house.signed(scope=house.canaries.new("scope"))
    if house.door in ("asgi", "wsgi"):
        assert [house.ask(text, "/once"), house.ask(text, "/once")] == ["good", "invalid_token"]
        assert house.ask(text, "/write") == "insufficient_scope"
    again = house.signed()
    spent = [house.heard(lambda: house.call(Spender(house.verifier), "spend", again)) for _ in range(2)]
    assert spent == ["good", "invalid_token"]


class Spender:
    """Uses tokens that a route takes once, without the route."""

    def __init__(self, verifier: Verifier[Any]) -> None:
        self._verifier = verifier

    def spend(self, text: str) -> None:
        """In blocking code."""
        run_sync(self._spend(text, self._verifier.connections.blocking()))

    async def aspend(self, text: str) -> None:
        """In a loop."""
        await self._spend(text, self._verifier.connections.of_this_loop())

    async def _spend(self, text: str, ports: Ports) -> None:
        verification = self._verifier.verification
        await verification.spend(await verification.verdict(text.encode(), verification.route(), ports), ports)


def blurt(values: Any) -> Any:
    """A rule that raises all it was given."""
    raise ValueError(f"I do not like {values!r} {dict(values) if isinstance(values, Mapping) else ''}")


BLURTING: Mapping[str, Mapping[str, Any]] = {
    "a check": {"checks": (blurt,)},
    "a check of each time": {"each_time": (lambda claims: blurt(claims.to_dict()),)},
    "a rule": {"rules": {"private": blurt}},
    "the scopes": {"scopes": blurt},
    "the tenant": {"tenant": blurt},
    "the user, normalised": {"user": ClaimText("sub", normalise=blurt)},
    "the issuer": {"issuer": blurt},
    "the audience": {"audience": blurt},
}


def test_rules_that_raise_what_they_were_given(house: House) -> None:
    for name in house.scenes(BLURTING):
        house.new_verifier(house.signed_kind(**BLURTING[name]))
        text = house.signed()
        assert [house.ask(text), house.ask(text)] == ["invalid_token"] * 2


def test_sinks_that_raise_what_they_know(house: House) -> None:
    text = house.signed()
    with raising_sink(text):
        assert house.ask(text) == "good"
        assert house.ask(tampered(house)) == "invalid_token"
        house.call(house.verifier.denylist, "revoke", house.claims(text))


# --- Key sets --------------------------------------------------------------------------------------------------------


def by_key_set(house: House, play: Play, **options: Any) -> str:
    """What is said of a token whose key is looked for in a key set."""
    url = house.provider.play("/keys", play)
    house.new_verifier(house.signed_kind(keys=JwksKeys(url, **options), algorithms=("EdDSA",)))
    headers = {"kid": house.canaries.new("kid")}
    return house.ask(house.signed(key=private_key("EdDSA"), alg="EdDSA", headers=headers))


def key_set(**members: Any) -> Play:
    return json_answer({"keys": [public_jwk(private_key("EdDSA", "another"), kid="another", **members)]})


@contextmanager
def own_credentials(house: House, **changes: Any) -> Iterator[ClientCredentials]:
    """Credentials of the application's own, whose secret and whose tokens are canaries; closed at the end."""
    usual: dict[str, Any] = {
        "client_id": "orders",
        "client_secret": SharedSecrets(house.client_secret, house.old_client_secret),
        "token_url": house.provider.url("/token"),
        "origins": {house.provider.url("")},
        "store": house.store,
    }
    credentials = ClientCredentials(**usual | changes)
    try:
        yield credentials
    finally:
        house.call(credentials, "close")


def grant(house: House, **members: Any) -> Play:
    """A token endpoint's good answer."""
    token = house.canaries.plain(f"access token {len(house.canaries)}")
    return json_answer({"access_token": token, "token_type": "Bearer", "expires_in": 3600, **members})


def test_keys_that_are_not_known(house: House) -> None:
    assert by_key_set(house, key_set()) == "invalid_token"
    assert by_key_set(house, key_set(d=house.canaries.plain("private half"))) != "good"


def test_key_sets_behind_a_token_of_our_own(house: House) -> None:
    house.provider.play("/token", in_turn(grant(house), grant(house)))
    with own_credentials(house) as credentials:
        assert by_key_set(house, in_turn(status(401), key_set()), auth=credentials) == "invalid_token"


# --- Providers that fail, and repeat what they were sent -------------------------------------------------------------


def sent(line: Line) -> str:
    """All that a request said."""
    fields = " ".join(f"{name}={value}" for name, value in line.request.headers.items())
    return f"{line.request.body.decode()} {' '.join(line.request.form.values())} {fields}"


def as_header(line: Line) -> str:
    """The same, where no line may break."""
    return sent(line).replace("\r", " ").replace("\n", " ")


def echoing(name: str) -> Play:
    """A provider that repeats what it was sent, in one place or another."""

    def play(line: Line) -> None:
        body, header = sent(line), as_header(line)
        plays: Mapping[str, Play] = {
            "500": answer(body.encode(), 500),
            "page": answer(f"<title>{body}</title>".encode(), headers={"content-type": "text/html"}),
            "JSON": json_answer({"active": body, "error": body, "access_token": [body], "expires_in": body}),
            "keys": json_answer({"keys": [{"kty": "OKP", "crv": body, "x": body, "kid": body}], "active": False}),
            "two names": answer(b'{"%b": 1, "%b": 2}' % ((json.dumps(body)[1:-1].encode(),) * 2)),
            "not UTF-8": answer(body.encode() + b"\xff"),
            "redirect": redirect(f"https://elsewhere.example.com/?{header}"),
            "redirect in pieces": redirect(f"https://elsewhere.example.com/?{quote(header)}"),
            "headers": answer(b"{}", headers={"x-request": header, "set-cookie": header, "content-type": header}),
            "encoding": answer(b"{}", headers={"content-encoding": header}),
            "length": raw(f"HTTP/1.1 200 OK\r\ncontent-length: {header}\r\n\r\n{{}}".encode()),
            "status line": raw(f"HTTP/1.1 200 {header}\r\ncontent-length: 2\r\n\r\n{{}}".encode()),
            "bad status line": raw(f"HTTP/9.9 {header}\r\n\r\n".encode()),
            "bad header": raw(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode()),
            "bad chunk": raw(f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{header}\r\n".encode()),
            "no HTTP": raw(body.encode()),
            "retry": status(429, {"retry-after": header}),
            "client refused": json_answer({"error": "invalid_client", "error_description": body}, 401),
            "client refused by header": status(401, {"www-authenticate": f'Basic realm="{header}"'}),
            "bad request": json_answer({"error": body, "error_description": body}, 400),
            "truncated": truncated(body.encode()),
            "gzip": gzipped(body.encode()),
            "nothing": hang_up,
        }
        plays[name](line)

    return play


ECHOES = (
    *("500", "page", "JSON", "keys", "two names", "not UTF-8", "redirect", "redirect in pieces", "headers", "encoding"),
    *("length", "status line", "bad status line", "bad header", "bad chunk", "no HTTP", "retry", "client refused"),
    *("client refused by header", "bad request", "truncated", "gzip", "nothing"),
)


def test_introspection_that_repeats_what_it_was_sent(house: House) -> None:
    for echo in house.scenes(ECHOES):
        house.provider.play("/introspect", echoing(echo))
        house.new_verifier()
        assert house.ask(house.opaque()) != "good"


def test_a_token_endpoint_that_repeats_what_it_was_sent(house: House) -> None:
    for echo in house.scenes(ECHOES):
        house.provider.play("/token", echoing(echo))
        with own_credentials(house) as credentials:
            assert house.heard(lambda: house.call(credentials, "token")) != "good"


def test_a_key_set_that_repeats_what_it_was_sent(house: House) -> None:
    house.provider.play("/token", grant(house))
    for echo in house.scenes(ECHOES):
        with own_credentials(house) as credentials:
            assert by_key_set(house, echoing(echo), auth=credentials) != "good"


def test_metadata_that_say_more_than_they_should(house: House) -> None:
    said = house.canaries.plain("what the metadata say")
    document = {"issuer": f"https://{said}.example.com", "introspection_endpoint": f"https://{said}.example.com/"}
    for echo in house.scenes(("500", "JSON", "headers", "redirect", "no HTTP")):
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"):
            house.provider.play(path, json_answer(document) if echo == "JSON" else echoing(echo))
        house.new_verifier(house.opaque_kind(issuer=house.provider.url(""), introspection_endpoint=None))
        assert house.ask(house.opaque()) in ("provider_unavailable", "provider_mismatch")


# --- Opaque tokens ---------------------------------------------------------------------------------------------------


def test_opaque_tokens(house: House) -> None:
    house.provider.play("/introspect", house.says())
    text = house.opaque()
    assert [house.ask(text), house.ask(text)] == ["good"] * 2
    house.new_verifier()
    assert house.ask(text) == "good"
    assert house.provider.count("/introspect") == 1
    house.call(house.verifier.denylist, "revoke", house.claims(text))
    assert house.ask(text) == "invalid_token"


NOT_GOOD: Mapping[str, Mapping[str, Any]] = {
    "inactive": {"active": False},
    "expired": {"exp": 1_600_000_000},
    "for others": {"aud": "https://elsewhere.example.com"},
    "by others": {"iss": "https://elsewhere.example.com"},
    "odd words": {"sub": 7},
    "bound to a key": {"cnf": {"jkt": "abc"}},
    "a refresh token": {"token_use": "refresh"},
}


def test_opaque_tokens_that_are_not_good(house: House) -> None:
    for name in house.scenes(NOT_GOOD):
        house.provider.play("/introspect", house.says(**NOT_GOOD[name]))
        text = house.opaque()
        assert [house.ask(text), house.ask(text)] == ["invalid_token"] * 2


def test_an_answer_that_somebody_has_changed(house: House) -> None:
    house.provider.play("/introspect", house.says())
    text = house.opaque()
    assert house.ask(text) == "good"
    (key,) = [key for key in house.server.cli("KEYS", f"*{FACTS}*") if not key.endswith(b":claim")]
    version, names, body = house.server.cli("GET", key).split(b"|")
    house.server.cli("SET", key, b"|".join((version, names, body[:40] + body[41:])), "PX", 50_000)
    house.new_verifier()
    assert house.ask(text) == "good"
    assert house.provider.count("/introspect") == 2


def test_a_client_secret_that_is_not_the_newest(house: House) -> None:
    refused = json_answer({"error": "invalid_client"}, 401)
    house.provider.play("/introspect", in_turn(refused, house.says(), refused))
    assert house.ask(house.opaque()) == "good"
    house.provider.play("/introspect", refused)
    assert house.ask(house.opaque()) == "client_refused"


def test_rules_about_opaque_tokens_that_raise(house: House) -> None:
    house.provider.play("/introspect", house.says())
    house.new_verifier(house.opaque_kind(checks=(blurt,)))
    assert house.ask(house.opaque()) == "invalid_token"


# --- Access tokens of our own ----------------------------------------------------------------------------------------


def test_access_tokens_of_our_own_that_are_shared_and_renewed(house: House) -> None:
    house.provider.play("/token", in_turn(grant(house), grant(house)))
    house.provider.play("/api", in_turn(status(401), answer(b"done")))
    with own_credentials(house) as first, own_credentials(house) as second:
        assert house.call(first, "token") == house.call(second, "token")
        assert house.provider.count("/token") == 1
        assert called(house, first) == 200
        assert house.heard(lambda: called(house, first, "https://elsewhere.example.com")) == "settings"


def called(house: House, credentials: ClientCredentials, to: str = "") -> int:
    """The status of a call of an API, under a token of our own."""
    url = to or house.provider.url("/api")
    if house.door in ("asgi", "averify"):
        return house.runner.run(_called(credentials, url))
    with httpx.Client(auth=credentials, trust_env=False) as client:
        return client.get(url).status_code


async def _called(credentials: ClientCredentials, url: str) -> int:
    async with httpx.AsyncClient(auth=credentials, trust_env=False) as client:
        return (await client.get(url)).status_code


def test_access_tokens_of_an_odd_life(house: House) -> None:
    for expires_in in (0, "soon", -1, 10**9):
        house.provider.play("/token", grant(house, expires_in=expires_in))
        with own_credentials(house, scope=str(expires_in)) as credentials:
            assert house.call(credentials, "token").startswith("cnry")


# --- Stores that fail ------------------------------------------------------------------------------------------------


def ask_all(house: House) -> None:
    """Everything that asks the store, which fails."""
    house.provider.play("/introspect", house.says())
    house.provider.play("/token", grant(house))
    told = {house.ask(house.signed()), house.ask(house.opaque())}
    if house.door in ("asgi", "wsgi"):
        told.add(house.ask(house.signed(), "/once"))
    assert told <= {"store_unavailable", "store_unreadable", "token_state_unknown"}
    denylist = house.verifier.denylist
    name = house.canaries.new("a name")
    until = time.time() + 60
    told = {
        house.heard(lambda: house.call(denylist, "revoke_id", name, until=until)),
        house.heard(lambda: house.call(denylist, "revoke_user", name)),
        house.heard(lambda: house.call(denylist, "revoke_tenant", name)),
    }
    assert told <= {"store_unavailable", "store_unreadable"}
    with own_credentials(house) as credentials:
        assert house.heard(lambda: bool(house.call(credentials, "token"))) == "good"


def test_a_store_that_refuses_connections(house: House) -> None:
    house.store = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{free_port()}/0"
    house.new_verifier()
    ask_all(house)


def test_a_store_that_is_frozen(house: House) -> None:
    frozen = start_redis(redis_binaries()[0], password=REDIS_PASSWORD)
    try:
        house.store = frozen.url
        house.new_verifier()
        assert house.ask(house.signed()) == "good"
        frozen.freeze()
        ask_all(house)
    finally:
        frozen.close()


def test_a_store_with_another_password(house: House) -> None:
    house.store = house.server.url.replace(REDIS_PASSWORD, house.canaries.plain("wrong password"))
    house.new_verifier()
    ask_all(house)


def test_a_store_that_holds_what_is_not_ours(house: House) -> None:
    house.server.cli("LPUSH", "bearerguard:{bearerguard}:epoch", "x")
    text = house.signed()
    house.server.cli("SET", "bearerguard:{bearerguard}:epoch:", "x")
    assert house.ask(text) in ("good", "store_unreadable", "store_unavailable")
    house.server.cli("DEL", "bearerguard:{bearerguard}:epoch")
    house.server.cli("SET", "bearerguard:{bearerguard}:epoch", "what it must not be")
    ask_all(house)


def echoed(command: Command) -> bytes:
    """All arguments of a command, in one line."""
    return b" ".join(command).replace(b"\r", b" ").replace(b"\n", b" ")


STORE_SAYS: Mapping[str, Callable[[Command], bytes]] = {
    "an error": lambda command: b"-ERR I do not know '" + echoed(command) + b"'\r\n",
    "no permission": lambda command: b"-NOPERM no permissions to access '" + echoed(command) + b"'\r\n",
    "wrong password": lambda command: b"-WRONGPASS invalid " + echoed(command) + b"\r\n",
    "moved": lambda command: b"-MOVED 1 " + echoed(command) + b":1\r\n",
    "unreadable": lambda command: b"-UNREADABLE " + echoed(command) + b"\r\n",
    "wrong type": lambda command: b"-WRONGTYPE " + echoed(command) + b"\r\n",
    "loading": lambda command: b"-LOADING " + echoed(command) + b"\r\n",
    "no protocol": lambda command: b"?" + echoed(command) + b"\r\n",
    "no number": lambda command: b":" + echoed(command) + b"\r\n",
    "no length": lambda command: b"$" + echoed(command) + b"\r\n",
    "a value": lambda command: b"+" + echoed(command) + b"\r\n",
    "values": lambda command: b"*2\r\n+" + echoed(command) + b"\r\n+" + echoed(command) + b"\r\n",
    "values that are no text": lambda command: b"*1\r\n$%d\r\n%b\xff\r\n" % (len(echoed(command)) + 1, echoed(command)),
}


@pytest.mark.parametrize("lets_in", [True, False], ids=["let in", "not let in"])
def test_a_store_that_repeats_what_it_was_sent(house: House, lets_in: bool) -> None:
    for said in house.scenes(STORE_SAYS):

        def reply(command: Command, said: str = said) -> list[bytes]:
            if lets_in and command[0] in (b"AUTH", b"HELLO", b"SELECT"):
                return [b"+OK\r\n"]
            return [STORE_SAYS[said](command)]

        with scripted_redis(reply) as server:
            house.store = server.url.replace("redis://", f"redis://:{REDIS_PASSWORD}@")
            house.new_verifier()
            ask_all(house)


# --- Settings that are wrong -----------------------------------------------------------------------------------------


def opened(house: House, **changes: Any) -> None:
    with own_credentials(house, **changes):
        raise AssertionError("taken as they are")


WRONG: Mapping[str, Callable[[House, str], object]] = {
    "a short secret": lambda house, text: house.signed_kind(keys=SharedSecrets(text[:20])),
    "a secret of HS512": lambda house, text: house.signed_kind(keys=SharedSecrets(text[:60]), algorithms=("HS512",)),
    "a secret for RS256": lambda house, text: house.signed_kind(keys=SharedSecrets(text), algorithms=("RS256",)),
    "secrets in a list": lambda house, text: SharedSecrets([text]),  # type: ignore[arg-type]
    "a secret where keys belong": lambda house, text: house.signed_kind(keys=text),
    "secrets in bytes, in a pair": lambda house, text: SharedSecrets((text.encode(), 7)),  # type: ignore[arg-type]
    "a client secret in a list": lambda house, text: house.opaque_kind(client_secret=[text]),
    "a client secret of our own in a list": lambda house, text: opened(house, client_secret=[text]),
    "no such store": lambda house, text: Verifier(house.signed_kind(), store=f"mongodb://:{text}@localhost"),
    "a store without a host": lambda house, text: RedisStore(f"redis://:{text}@:6379/0/1"),
    "a store with an odd port": lambda house, text: RedisStore(f"redis://:{text}@localhost:port/0"),
    "a store with odd options": lambda house, text: RedisStore(f"redis://:{text}@localhost/0?socket_timeout={text}"),
    "a store with an odd database": lambda house, text: RedisStore(f"redis://:{text}@localhost/{text}"),
    "an endpoint with a password": lambda house, text: house.opaque_kind(
        introspection_endpoint=f"https://orders:{text}@id.example.com/introspect"
    ),
    "an issuer with a password": lambda house, text: house.opaque_kind(
        issuer=f"https://orders:{text}@id.example.com", introspection_endpoint=None
    ),
    "a token endpoint with a password": lambda house, text: opened(
        house, token_url=f"https://orders:{text}@id.example.com/token"
    ),
    "a key set with a password": lambda house, text: JwksKeys(f"https://orders:{text}@id.example.com/keys"),
}


@pytest.mark.parametrize("house", ["verify"], indirect=True)
def test_settings_that_are_wrong(house: House) -> None:
    for wrong in house.scenes(WRONG):
        text = house.canaries.plain(f"setting of {wrong}")
        assert house.heard(partial(WRONG[wrong], house, text)) == "settings", wrong


# --- The scan itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelt",
    [
        pytest.param(lambda text: text, id="plain"),
        pytest.param(lambda text: f"cut {text[10:40]} short", id="in part"),
        pytest.param(str.upper, id="in capitals"),
        pytest.param(lambda text: base64.b64encode(text.encode()).decode(), id="base64"),
        pytest.param(lambda text: base64.urlsafe_b64encode(f"a:{text}:b".encode()).decode(), id="base64url, inside"),
        pytest.param(lambda text: base64.urlsafe_b64encode(f"ab:{text}".encode()).decode(), id="base64url, further on"),
        pytest.param(lambda text: text.encode().hex(), id="hex"),
        pytest.param(quote, id="in a URL"),
        pytest.param(quote_plus, id="in a form"),
        pytest.param(json.dumps, id="JSON"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda text: repr(text.encode()), id="repr of bytes"),
    ],
)
def test_the_scan_finds_a_canary(spelt: Callable[[str], str]) -> None:
    canaries = Canaries()
    text = canaries.new("one")
    canaries.new("another")
    assert Scan(canaries).found_in(f"<before>{spelt(text)}<after>") == {"one"}
    assert Scan(canaries).found_in(f"nothing of the kind {secrets.token_hex(200)}") == set()


PLANTS: Mapping[str, Callable[[House, str], object]] = {
    "log of httpcore": lambda _, text: logging.getLogger("httpcore").debug("sent %r", {"a": text}),
    "log of asyncio": lambda _, text: logging.getLogger("asyncio").error("oh", exc_info=ValueError(text)),
    "event": lambda house, text: house.overheard.hear_event(StoreEvicts(policy=text)),
    "key in Redis": lambda house, text: house.server.cli("SET", f"x:{text}", 1),
    "value in Redis": lambda house, text: house.server.cli("XADD", "x:log", "*", "name", text),
    "MONITOR": lambda house, text: house.server.cli("GET", text),
    "span": lambda house, text: planted_on_span(house, text),
    "metrics": lambda house, text: tell(StoreEvicts(policy=text)),
    "repr of Route": lambda house, text: setattr(house, "kept", keep_a_repr(text)),
    "traceback": lambda house, text: house.heard(lambda: raise_over(text)),
    "exception": lambda house, text: house.heard(lambda: raise_over(text, None)),
    "answer": lambda house, text: house.told(Answer(200, [("x-a", text)], b"")),
}


def planted_on_span(house: House, text: str) -> None:
    with one_span(house.overheard):
        trace.get_current_span().set_attribute("a", text)


def keep_a_repr(text: str) -> object:
    """An object of ours that says too much of itself."""
    kind = type("Route", (), {"__repr__": lambda _: text, "__module__": "bearerguard.core"})
    made = kind()
    vars(made)["itself"] = made
    return made


def raise_over(text: str, *cause: None) -> None:
    """A refusal that hangs on an error, which a traceback shows or does not show."""
    try:
        raise ValueError(text)
    except ValueError as error:
        raise InvalidToken from (*cause, error)[0]


@pytest.mark.parametrize("where", PLANTS)
def test_a_planted_canary_is_found(guarded_server: RedisServer, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    guarded_server.flush()
    overheard = Overheard()
    gc.freeze()  # so that only new objects are looked through
    with ExitStack() as stack:
        for listening in (everything_logged, every_event):
            stack.enter_context(listening(overheard))
        house = House("verify", stack.enter_context(ScriptedProvider()), guarded_server, overheard)
        stack.callback(house.close)
        with monitored(guarded_server, overheard):
            assert house.ask(house.signed()) == "good"
            PLANTS[where](house, house.canaries.plain("planted"))
        overheard.hear_reprs()
        hear_what_is_kept(guarded_server, overheard)
    with pytest.raises(AssertionError, match=rf"\b{where} reveals planted"):
        house.assert_silent()
