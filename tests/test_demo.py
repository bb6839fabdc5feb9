"""The demo, without a browser: what it serves, to whom, and that every token works at both of its doors."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import pytest

from bearerguard.demo import Demo
from bearerguard.demo.advice import ADVICE
from bearerguard.demo.fence import is_ours
from bearerguard.demo.routes import ROUTES
from bearerguard.errors import REASONS, SettingsError
from tests.demo_visitor import Visitor, reason

KINDS = ("whatalo.session", "shopify.admin", "jtl.app", "oauth.jwt", "oauth.opaque")
SIGNED = KINDS[:-1]
DOORS = ("asgi", "wsgi")

every_kind = pytest.mark.parametrize("kind", KINDS)
every_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with Demo(port=0) as demo:
        yield demo


@pytest.fixture
def visitor(demo: Demo) -> Visitor:
    """Somebody who finds the demo as it is at its start."""
    demo.world.start_over()
    return Visitor(demo)


# --- The page ---------------------------------------------------------------------------------------------------------

PAGE = files("bearerguard.demo").joinpath("page")
FILES = sorted(each.name for each in PAGE.iterdir())
SOURCES = {name: PAGE.joinpath(name).read_text(encoding="utf-8") for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_serves_every_file_of_the_page(visitor: Visitor, name: str) -> None:
    answer = visitor.asks("GET", f"/{name}")
    assert (answer.status, answer.body.decode()) == (200, SOURCES[name])
    kinds = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
    assert str(answer.header("content-type")).partition(";")[0] == kinds[name.rpartition(".")[2]]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/", 200, id="the page"),
        pytest.param("HEAD", "/", 200, id="its head"),
        pytest.param("POST", "/", 405, id="nothing to post to"),
        pytest.param("GET", "/nothing", 404, id="no such file"),
        pytest.param("GET", "/../serving.py", 404, id="a file above"),
        pytest.param("GET", "/%2e%2e/serving.py", 404, id="a file above, in hiding"),
        pytest.param("GET", "/page/app.js", 404, id="the folder itself"),
        pytest.param("GET", "/api/nothing", 404, id="no such control"),
        pytest.param("GET", "/api/tokens", 404, id="a control by another method"),
        pytest.param("GET", "/asgi/nothing", 401, id="no such route, and no token"),
        pytest.param("GET", "/wsgi/nothing", 401, id="no such route, and no token, at the other door"),
        pytest.param("GET", "/asgi/health", 200, id="a route for everybody"),
        pytest.param("GET", "/wsgi/health", 200, id="a route for everybody, at the other door"),
    ],
)
def test_answers_paths_as_they_are(visitor: Visitor, method: str, path: str, status: int) -> None:
    assert visitor.asks(method, path).status == status


@pytest.mark.parametrize("path", ["/", "/app.js", "/nothing", "/api/page", "/asgi/me", "/wsgi/health"])
def test_protects_every_answer(visitor: Visitor, path: str) -> None:
    answer = visitor.asks("GET", path)
    policy = str(answer.header("content-security-policy"))
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("server") == "bearerguard"
    assert "no-store" in str(answer.header("cache-control"))
    assert answer.header("access-control-allow-origin") is None


def test_brings_all_that_it_shows() -> None:
    page = SOURCES["index.html"]
    assert set(re.findall(r'(?:src|href)="/([^"]+)"', page)) | {"index.html"} <= set(FILES)
    assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=|javascript:", page) == []
    foreign = re.compile(r"https?://(?!www\.w3\.org/2000/svg)|[\"'`]//|@import|\burl\(")
    assert [name for name, source in SOURCES.items() if foreign.search(source)] == []


def test_writes_what_it_is_given_as_text_only() -> None:
    dangerous = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.srcdoc|setHTML"
    )
    assert [name for name, source in SOURCES.items() if dangerous.search(source)] == []


def test_is_small() -> None:
    assert sum(len(source.encode()) for source in SOURCES.values()) < 64 * 1024


def test_knows_what_to_do_about_every_reason(visitor: Visitor) -> None:
    assert ADVICE.keys() == REASONS.keys()
    said = visitor.asks("GET", "/api/page").json()
    assert said["reasons"]["expired"] == {"sentence": REASONS["expired"], "advice": ADVICE["expired"]}


def test_shows_the_code_of_every_route(visitor: Visitor) -> None:
    routes = visitor.asks("GET", "/api/page").json()["routes"]
    assert [route["name"] for route in routes] == [route.name for route in ROUTES]
    refund = next(route for route in routes if route["name"] == "refund")
    for door, begin in (("asgi", "async def refund("), ("wsgi", "def refund(")):
        assert refund["code"][door].startswith(f'@requires_scope("write:orders")\n@single_use\n{begin}')


# --- Whose requests are answered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        pytest.param("127.0.0.1:8000", True, id="the number"),
        pytest.param("127.0.0.1", True, id="without a port"),
        pytest.param("localhost:9000", True, id="another port, as through a tunnel"),
        pytest.param("LocalHost", True, id="in any case"),
        pytest.param("[::1]:8000", True, id="IPv6"),
        pytest.param("attacker.example", False, id="a name of others"),
        pytest.param("127.0.0.1.attacker.example:8000", False, id="a name that looks like a number"),
        pytest.param("localhost.attacker.example", False, id="a name that looks like ours"),
        pytest.param("localhost.", False, id="with a dot"),
        pytest.param("192.0.2.7:8000", False, id="a number that is not of this machine"),
        pytest.param("2130706433", False, id="a number in one"),
        pytest.param("127.1", False, id="a number cut short"),
        pytest.param("0x7f.0.0.1", False, id="a number in another spelling"),
        pytest.param("", False, id="empty"),
        pytest.param("localhost,attacker.example", False, id="two"),
        pytest.param("attacker.example@localhost", False, id="with a user"),
        pytest.param("localhost/x", False, id="with a path"),
        pytest.param("localhost:http", False, id="a port that is none"),
        pytest.param("localhost:99999", False, id="a port that cannot be"),
        pytest.param("[::1", False, id="half an address"),
        pytest.param("l\N{LATIN SMALL LETTER O WITH DIAERESIS}calhost", False, id="beyond ASCII"),
    ],
)
def test_goes_by_its_own_names(host: str, answered: bool) -> None:
    assert is_ours(host, frozenset({"localhost"}), is_loopback=True) is answered


def test_goes_by_any_number_where_others_may_come() -> None:
    assert is_ours("192.0.2.7:8000", frozenset({"localhost"}), is_loopback=False)
    assert is_ours("demo.example", frozenset({"demo.example"}), is_loopback=False)
    assert not is_ours("attacker.example", frozenset({"demo.example"}), is_loopback=False)


def test_is_controlled_by_any_of_its_names(visitor: Visitor) -> None:
    for host in ("localhost:1", "[::1]:1", "127.0.0.2"):
        asked = [("Host", host), ("Origin", f"http://{host}")]
        assert visitor.asks("GET", "/api/state", headers=asked).status == 200


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/page", "/api/state", "/asgi/health", "/wsgi/health"])
def test_answers_nobody_who_asks_for_another_name(visitor: Visitor, path: str) -> None:
    answer = visitor.asks("GET", path, headers=[("Host", "attacker.example")])
    assert answer.status == 421
    assert b"attacker" not in answer.body
    absolute = visitor.asks("GET", f"http://attacker.example{path}")
    assert absolute.status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([], 200, id="no browser"),
        pytest.param([("Origin", "{ours}")], 200, id="our page"),
        pytest.param([("Origin", "{ours}"), ("Sec-Fetch-Site", "same-origin")], 200, id="our page, in a new browser"),
        pytest.param([("Sec-Fetch-Site", "none")], 200, id="the address bar"),
        pytest.param([("Origin", "https://attacker.example")], 403, id="another page"),
        pytest.param([("Origin", "null")], 403, id="a page that hides where it is from"),
        pytest.param([("Origin", "http://127.0.0.1")], 403, id="another port of this machine"),
        pytest.param([("Origin", "{ours}.attacker.example")], 403, id="a page that begins like ours"),
        pytest.param([("Sec-Fetch-Site", "cross-site")], 403, id="cross-site"),
        pytest.param([("Sec-Fetch-Site", "same-site")], 403, id="another port, by what the browser says"),
        pytest.param([("Origin", "{ours}"), ("Origin", "https://attacker.example")], 403, id="two origins"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_lets_only_its_own_page_control_it(
    visitor: Visitor, method: str, headers: Sequence[tuple[str, str]], status: int
) -> None:
    sent = [(name, value.replace("{ours}", visitor.origin)) for name, value in headers]
    if method == "GET":
        assert visitor.asks("GET", "/api/state", headers=sent).status == status
        return
    sent.append(("Content-Type", "application/json"))
    assert visitor.asks("POST", "/api/store", headers=sent, body=b'{"mode": "stopped"}').status == status
    assert visitor.demo.world.store.is_stopped is (status == 200)


def test_tells_no_other_page_that_it_may_call(visitor: Visitor) -> None:
    asked = [
        ("Origin", "https://attacker.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ]
    for path in ("/api/store", "/asgi/me", "/wsgi/me", "/"):
        answer = visitor.asks("OPTIONS", path, headers=asked)
        assert [name for name, _ in answer.headers if name.startswith("access-control-allow")] == []


BAD_BODIES: Sequence[tuple[str, str, bytes]] = (
    ("no JSON", "tokens", b"{"),
    ("no object", "tokens", b"[]"),
    ("no text", "tokens", b"\xff\xfe"),
    ("no number", "tokens", b'{"kind": "jtl.app", "claims": {"exp": NaN}}'),
    ("as deep as can be", "tokens", b"[" * 30_000),
    ("no kind", "tokens", b"{}"),
    ("another kind", "tokens", b'{"kind": "another"}'),
    ("a kind that is no text", "tokens", b'{"kind": []}'),
    ("claims that are none", "tokens", b'{"kind": "jtl.app", "claims": 7}'),
    ("changes that are none", "tokens", b'{"kind": "jtl.app", "changes": [1]}'),
    ("facts that the provider cannot take", "tokens", b'{"kind": "oauth.opaque", "claims": {"lifetime": "x"}}'),
    ("facts of a wrong kind", "tokens", b'{"kind": "oauth.opaque", "claims": {"scopes": 3}}'),
    ("a fact by no name", "tokens", b'{"kind": "oauth.opaque", "claims": {"self": 3}}'),
    ("nothing to revoke", "revocations", b"{}"),
    ("something else to revoke", "revocations", b'{"what": "world", "kind": "jtl.app", "name": "x"}'),
    ("a tenant of no name", "revocations", b'{"what": "tenant", "kind": "jtl.app"}'),
    ("a tenant of another spelling", "revocations", b'{"what": "tenant", "kind": "shopify.admin", "name": "x"}'),
    ("a user where none is named", "revocations", b'{"what": "user", "kind": "whatalo.session", "name": "x"}'),
    ("a token that is no text", "revocations", b'{"what": "token", "token": 7}'),
    ("another mode", "store", b'{"mode": "burns"}'),
    ("another mode of the provider", "provider", b'{"mode": []}'),
    ("no time", "clock", b'{"seconds": true}'),
    ("time that goes back", "clock", b'{"seconds": -1}'),
    ("more time than there is", "clock", b'{"seconds": 1e300}'),
)


@pytest.mark.parametrize(("what", "body"), [each[1:] for each in BAD_BODIES], ids=[each[0] for each in BAD_BODIES])
def test_says_what_is_wrong_with_what_it_is_told(visitor: Visitor, what: str, body: bytes) -> None:
    answer = visitor.asks("POST", f"/api/{what}", headers=[("Content-Type", "application/json")], body=body)
    assert answer.status == 400
    assert list(answer.json()) == ["error"]


def test_takes_json_that_says_so_and_is_not_too_long(visitor: Visitor) -> None:
    body = b'{"mode": "stopped"}'
    assert visitor.asks("POST", "/api/store", body=body).status == 400
    assert visitor.asks("POST", "/api/store", headers=[("Content-Type", "text/plain")], body=body).status == 400
    long = json.dumps({"mode": "x" * 70_000}).encode()
    answer = visitor.asks("POST", "/api/store", headers=[("Content-Type", "application/json")], body=long)
    assert answer.status == 413
    assert not visitor.demo.world.store.is_stopped


# --- Tokens at both doors ---------------------------------------------------------------------------------------------


@every_kind
@every_door
def test_accepts_what_it_has_minted(visitor: Visitor, kind: str, door: str) -> None:
    minted = visitor.minted(kind)
    answer = visitor.calls(door, "GET /me", minted["token"])
    assert (answer.status, reason(answer)) == (200, None)
    said = answer.json()
    assert said["kind"] == kind
    assert said["tenant"]
    assert said["claims"] == minted["claims"]


@every_kind
@every_door
def test_refuses_what_a_stranger_has_minted(visitor: Visitor, kind: str, door: str) -> None:
    token = visitor.mints(kind, signed_by="stranger")
    answer = visitor.calls(door, "GET /me", token)
    assert (answer.status, reason(answer)) == (401, "inactive" if kind == "oauth.opaque" else "bad_signature")


@every_kind
@every_door
def test_mints_whatever_claims_it_is_given(visitor: Visitor, kind: str, door: str) -> None:
    claims = dict(visitor.minted(kind)["claims"])
    token = visitor.mints(kind, claims=claims | {"aud": "another-app"})
    assert reason(visitor.calls(door, "GET /me", token)) == "wrong_audience"
    without = visitor.mints(kind, claims={name: value for name, value in claims.items() if name != "aud"})
    assert visitor.calls(door, "GET /me", without).status == 401
    ended = visitor.mints(kind, claims=claims | {"exp": int(time.time()) - 60})
    assert reason(visitor.calls(door, "GET /me", ended)) in ("expired", "inactive")


@every_door
@pytest.mark.parametrize(
    ("kind", "route", "status", "why"),
    [
        ("whatalo.session", "GET /orders", 200, None),
        ("oauth.jwt", "GET /orders", 200, None),
        ("oauth.opaque", "POST /orders/1001/refund", 200, None),
        ("shopify.admin", "GET /orders", 403, "insufficient_scope"),
        ("shopify.admin", "GET /staff", 200, None),
        ("jtl.app", "GET /staff", 403, "wrong_kind"),
        (None, "GET /health", 200, None),
        (None, "GET /me", 401, "missing_token"),
    ],
)
def test_guards_its_routes(
    visitor: Visitor, door: str, kind: str | None, route: str, status: int, why: str | None
) -> None:
    answer = visitor.calls(door, route, None if kind is None else visitor.mints(kind))
    assert (answer.status, reason(answer)) == (status, why)


@every_door
def test_names_the_scope_that_is_missing(visitor: Visitor, door: str) -> None:
    token = visitor.mints("whatalo.session", changes={"scopes": ["read:orders"]})
    answer = visitor.calls(door, "POST /orders/1001/refund", token)
    assert answer.challenge is not None
    assert answer.challenge["scope"] == "write:orders"
    assert answer.challenge["realm"] == "demo"


@every_door
def test_hands_the_doors_every_header_as_it_came(visitor: Visitor, door: str) -> None:
    twice = [("Authorization", f"Bearer {visitor.mints('jtl.app')}")] * 2
    answer = visitor.asks("GET", f"/{door}/me", headers=twice)
    assert (answer.status, reason(answer)) == (400, "several_credentials")


def test_says_beside_each_answer_what_was_heard(visitor: Visitor) -> None:
    token = visitor.mints("whatalo.session")
    for door in DOORS:
        visitor.calls(door, "GET /me", token)
        answer = visitor.calls(door, "POST /orders/1001/refund", visitor.mints("shopify.admin"))
        accepted, refused = json.loads(str(answer.header("x-demo-events")))
        assert accepted == {
            "event": "TokenAccepted",
            "kind": "shopify.admin",
            "tenant": "pine-lane.myshopify.com",
            "seen_before": False,
        }
        assert (refused["event"], refused["reason"], refused["status"]) == ("TokenRefused", "insufficient_scope", 403)
        assert re.fullmatch(r"verdict;dur=\d+\.\d{3}", str(answer.header("server-timing")))
    (again,) = json.loads(str(visitor.calls("asgi", "GET /me", token).header("x-demo-events")))
    assert again["seen_before"] is True


@every_kind
def test_repeats_no_token_beside_an_answer(visitor: Visitor, kind: str) -> None:
    minted = visitor.minted(kind)
    for door in DOORS:
        for route in ("GET /me", "POST /payout", "GET /staff"):
            answer = visitor.calls(door, route, minted["token"])
            head = "\n".join(f"{name}: {value}" for name, value in answer.headers)
            assert minted["token"] not in head + answer.body.decode()
            assert minted["claims"]["jti"] not in head


def test_two_at_once_hear_each_its_own(visitor: Visitor) -> None:
    with Demo(port=0) as other:
        token = visitor.mints("jtl.app")
        for door in DOORS:
            (heard,) = json.loads(str(visitor.calls(door, "GET /me", token).header("x-demo-events")))
            assert heard["event"] == "TokenAccepted"
            assert reason(Visitor(other).calls(door, "GET /me", token)) == "unknown_key"
    assert reason(visitor.calls("wsgi", "GET /me")) == "missing_token"


HOSTILE = 'str_1\r\nX-Evil: 1\r\n\r\n<script>alert(1)</script>\u202e"\N{SNOWMAN}'


@every_door
def test_cannot_be_made_to_write_other_headers(visitor: Visitor, door: str) -> None:
    token = visitor.mints("whatalo.session", changes={"sub": HOSTILE, "storeId": HOSTILE})
    answer = visitor.calls(door, "GET /me", token)
    assert (answer.status, answer.json()["tenant"]) == (200, HOSTILE)
    assert answer.header("x-evil") is None
    assert answer.header("content-type") == "application/json"
    assert "\\\\r\\\\n" in str(answer.header("x-demo-events"))


# --- Revoked, used up, over -------------------------------------------------------------------------------------------


@every_kind
def test_revokes_one_token(visitor: Visitor, kind: str) -> None:
    token, other = visitor.mints(kind), visitor.mints(kind)
    assert visitor.tells("revocations", what="token", token=token).json() == {"revoked": "token"}
    for door in DOORS:
        assert reason(visitor.calls(door, "GET /me", token)) == "revoked"
        assert visitor.calls(door, "GET /me", other).status == 200
    again = visitor.tells("revocations", what="token", token=token)
    assert (again.status, again.json()["reason"]) == (401, "revoked")


@every_kind
def test_revokes_a_whole_shop(visitor: Visitor, kind: str) -> None:
    minted = visitor.minted(kind, elsewhere=True)
    tenant = visitor.demo.world.sorts[kind].tenant
    elsewhere = {name: minted["claims"][name] for name in visitor.demo.world.sorts[kind].elsewhere()}
    tokens = [minted["token"], visitor.mints(kind, changes=elsewhere)]
    assert [visitor.calls("wsgi", "GET /me", token).status for token in tokens] == [200, 200]
    told = visitor.tells("revocations", what="tenant", kind=kind, name=minted["claims"][tenant])
    assert told.json() == {"revoked": "tenant"}
    for door in DOORS:
        assert [reason(visitor.calls(door, "GET /me", token)) for token in tokens] == ["revoked", "revoked"]
        assert visitor.calls(door, "GET /me", visitor.mints(kind)).status == 200


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "whatalo.session"])
def test_revokes_a_user(visitor: Visitor, kind: str) -> None:
    minted = visitor.minted(kind)
    visitor.tells("revocations", what="user", kind=kind, name=minted["claims"]["sub"])
    assert [reason(visitor.calls(door, "GET /me", minted["token"])) for door in DOORS] == ["revoked", "revoked"]


@every_kind
def test_takes_a_token_once_over_both_doors(visitor: Visitor, kind: str) -> None:
    token = visitor.mints(kind)
    answers = [visitor.calls(door, "POST /payout", token) for door in ("asgi", "wsgi", "asgi")]
    assert [(answer.status, reason(answer)) for answer in answers] == [
        (200, None),
        (401, "replayed"),
        (401, "replayed"),
    ]
    assert visitor.calls("wsgi", "GET /me", token).status == 200


@every_kind
def test_lets_time_pass(visitor: Visitor, kind: str) -> None:
    minted = visitor.minted(kind)
    assert visitor.calls("asgi", "GET /me", minted["token"]).status == 200
    state = visitor.tells("clock", seconds=minted["claims"]["exp"] - minted["claims"]["iat"] + 11).json()
    assert state["ahead"] > 59
    assert [reason(visitor.calls(door, "GET /me", minted["token"])) for door in DOORS] in (
        ["expired", "expired"],
        ["inactive", "inactive"],
    )
    assert visitor.calls("asgi", "GET /me", visitor.mints(kind)).status == 200


def test_goes_no_further_ahead_than_ten_years(visitor: Visitor) -> None:
    for _ in range(200):
        visitor.demo.world.clock.let_pass(40 * 86_400)
    assert visitor.tells("clock", seconds=60).json()["ahead"] <= 10 * 366 * 86_400
    assert visitor.calls("asgi", "GET /me", visitor.mints("jtl.app")).status == 200


def test_starts_over(visitor: Visitor) -> None:
    token = visitor.mints("whatalo.session")
    visitor.calls("asgi", "POST /payout", token)
    visitor.tells("revocations", what="token", token=token)
    visitor.tells("store", mode="stopped")
    visitor.tells("provider", mode="refuses")
    visitor.tells("clock", seconds=60)
    state = visitor.tells("start-over").json()
    assert (state["ahead"], state["store"], state["provider"]) == (0, "answers", "answers")
    assert visitor.calls("wsgi", "POST /payout", token).status == 200


# --- What stops, and comes back ---------------------------------------------------------------------------------------


@every_kind
@every_door
def test_cannot_say_without_its_store_and_recovers_with_it(visitor: Visitor, kind: str, door: str) -> None:
    token = visitor.mints(kind)
    assert visitor.calls(door, "GET /me", token).status == 200
    assert visitor.tells("store", mode="stopped").json()["store"] == "stopped"
    for route in ("GET /me", "POST /payout"):
        answer = visitor.calls(door, route, token)
        assert (answer.status, reason(answer)) == (503, "store_unavailable")
        assert answer.challenge is None
        assert answer.header("retry-after") == "1"
        assert "StoreFailed" in str(answer.header("x-demo-events"))
    assert visitor.calls(door, "GET /health").status == 200
    assert visitor.calls(door, "GET /me", token[:-4] + "AAAA").status in (401, 503)
    visitor.tells("store", mode="answers")
    assert visitor.calls(door, "POST /payout", token).status == 200


def test_promises_no_revocation_without_its_store(visitor: Visitor) -> None:
    minted = visitor.minted("jtl.app")
    told = {"what": "tenant", "kind": "jtl.app", "name": minted["claims"]["urn:jtl:tenant_id"]}
    visitor.tells("store", mode="stopped")
    answer = visitor.tells("revocations", **told)
    assert (answer.status, answer.json()["reason"]) == (503, "store_unavailable")
    visitor.tells("store", mode="answers")
    assert visitor.calls("asgi", "GET /me", minted["token"]).status == 200
    assert visitor.tells("revocations", **told).status == 200
    assert visitor.calls("asgi", "GET /me", minted["token"]).status == 401


@every_door
def test_cannot_say_of_an_opaque_token_without_the_provider(visitor: Visitor, door: str) -> None:
    known = {kind: visitor.mints(kind) for kind in KINDS}
    assert {visitor.calls(door, "GET /me", token).status for token in known.values()} == {200}
    visitor.tells("provider", mode="refuses")
    unknown = visitor.mints("oauth.opaque")
    answer = visitor.calls(door, "GET /me", unknown)
    assert (answer.status, reason(answer), answer.challenge) == (503, "provider_unavailable", None)
    assert {visitor.calls(door, "GET /me", token).status for token in known.values()} == {200}
    assert {visitor.calls(door, "GET /me", visitor.mints(kind)).status for kind in SIGNED} == {200}
    visitor.tells("provider", mode="answers")
    assert visitor.calls(door, "GET /me", unknown).status == 200


@pytest.mark.timed
def test_waits_no_longer_than_its_bound_for_a_provider_that_hangs(visitor: Visitor) -> None:
    assert visitor.calls("asgi", "GET /me", visitor.mints("oauth.opaque")).status == 200
    visitor.tells("provider", mode="hangs")
    started = time.monotonic()
    answer = visitor.calls("asgi", "GET /me", visitor.mints("oauth.opaque"))
    assert (answer.status, reason(answer)) == (503, "provider_unavailable")
    assert 0.5 < time.monotonic() - started < 5


def test_serves_many_at_once(visitor: Visitor) -> None:
    tokens = [visitor.mints("oauth.opaque") for _ in range(8)]
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda token=token, door=door: answers.append(visitor.calls(door, "GET /me", token).status)
        )
        for token in tokens
        for door in DOORS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [200] * 16


# --- Its end ----------------------------------------------------------------------------------------------------------


def test_ends_without_leaving_anything_behind() -> None:
    before = set(threading.enumerate())
    with Demo(port=0) as demo:
        visitor = Visitor(demo)
        for kind in KINDS:
            token = visitor.mints(kind)
            assert [visitor.calls(door, "GET /me", token).status for door in DOORS] == [200, 200]
        silent = socket.create_connection((demo.host, demo.port))
        halfway = socket.create_connection((demo.host, demo.port))
        halfway.sendall(b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        visitor.tells("provider", mode="hangs")
    with silent, halfway:
        assert silent.recv(1) == b""
    assert set(threading.enumerate()) - before == set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((demo.host, demo.port))
    with Demo(port=demo.port) as again:
        assert again.port == demo.port


@pytest.mark.timed
def test_ends_soon_while_somebody_says_nothing() -> None:
    with Demo(port=0) as demo:
        silent = [socket.create_connection((demo.host, demo.port)) for _ in range(5)]
        Visitor(demo).asks("GET", "/")
        started = time.monotonic()
    assert time.monotonic() - started < 4
    for connection in silent:
        connection.close()


def test_says_where_nobody_can_listen() -> None:
    before = set(threading.enumerate())
    with Demo(port=0) as demo, pytest.raises(SettingsError, match="give another port"), Demo(port=demo.port):
        pass
    with pytest.raises(SettingsError, match="65535"), Demo(port=70_000):
        pass
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1"), Demo("192.0.2.1"):
        pass
    assert set(threading.enumerate()) - before == set()


@pytest.mark.parametrize(
    ("host", "url", "is_loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/", True),
        ("localhost", "http://localhost:8000/", True),
        ("::1", "http://[::1]:8000/", True),
        ("0.0.0.0", "http://0.0.0.0:8000/", False),
        ("demo.example", "http://demo.example:8000/", False),
    ],
)
def test_knows_who_can_reach_it(host: str, url: str, is_loopback: bool) -> None:
    demo = Demo(host)
    assert (demo.url, demo.is_loopback) == (url, is_loopback)


def test_listens_on_this_machine_alone_unless_told() -> None:
    with Demo(port=0) as demo:
        assert demo.host == "127.0.0.1"
        addresses: set[Any] = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in addresses - {"127.0.0.1"}:
            if not address.startswith("127."):
                with pytest.raises(OSError, match="refused"):
                    socket.create_connection((address, demo.port), timeout=5)
