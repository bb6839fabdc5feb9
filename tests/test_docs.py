"""The pages say what is true: their code runs, their links lead somewhere, their tables are complete.

A page is one program: its Python blocks run from top to bottom. What readers need not see stands in a comment,

    <!-- python
    assert reader.asks(app, "GET /orders").status == 401
    -->

which runs at its place like any other block, and has `reader` to ask the page's apps with.

Pages on migration show code of other libraries as well. It stands in blocks that begin with "```python before" or
"<!-- python before", which are a program of their own: `tox -e peers` runs it, where those libraries are.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import logging
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from flask import Flask

import bearerguard
from bearerguard import JwksKeys, OpaqueTokens, SignedTokens, Verifier, errors, events, single_use
from bearerguard.asgi import BearerMiddleware
from bearerguard.errors import REASONS, AuthError, Unavailable
from bearerguard.flask import init_app
from bearerguard.platforms import whatalo
from bearerguard.sinks import set_sinks, to_log
from bearerguard.wsgi import SessionTokenMiddleware
from tests.doors import Answer, Ask, ask_asgi, ask_wsgi, bearer
from tests.minting import OLD_SECRET, SECRET, mint, private_key, public_jwk
from tests.servers import RedisServer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *(ROOT / "examples").glob("*.md")])
# Their code, and this module, need packages that the other tests do without; the tests in tests/other_frameworks and
# tests/mcp_sdk run and name them.
OF_FRAMEWORKS = sorted((DOCS / "frameworks").glob("*.md"))
RUN_ELSEWHERE = [*OF_FRAMEWORKS, DOCS / "mcp.md"]
NAMED_ELSEWHERE = "bearerguard.django"
REFERENCE = DOCS / "api"
"""Made from the docstrings; tests/test_reference.py runs their examples."""
SOURCES = sorted((ROOT / "src").glob("**/*.py"))

_BLOCK = re.compile(
    r"^(?:```python(?P<before> before)?\n(?P<shown>.*?)^```|<!-- python(?P<unseen> before)?\n(?P<hidden>.*?)^-->)$",
    re.MULTILINE | re.DOTALL,
)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

REFUSALS: dict[str, Any] = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, (AuthError, Unavailable)) and hasattr(kind, "default_reason")
}

SESSION: dict[str, dict[str, object]] = {
    "whatalo": {"iss": "whatalo", "sub": "str_8k2m4n6p", "storeId": "str_8k2m4n6p", "scopes": ["read:orders"]},
    "shopify": {
        "iss": "https://pine-lane.myshopify.com/admin",
        "dest": "https://pine-lane.myshopify.com",
        "sub": "81234567890",
        "sid": "6f1c0e6c",
    },
    "checkout": {"dest": "pine-lane.myshopify.com"},
}


class Reader:
    """Somebody who tries a page's apps, and has tokens of the platforms that the pages speak of."""

    def token(self, platform: str = "whatalo", **changes: object) -> str:
        """A good session token, but for what `changes`."""
        now = int(time.time())
        usual: dict[str, object] = {"aud": "ours", "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
        return mint(usual | SESSION[platform] | changes)

    def asks(self, app: Any, request: str, token: str | None = None, **headers: str) -> Answer:
        """What an app answers to a request like "GET /orders"."""
        method, _, target = request.partition(" ")
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        ask = Ask(target, [*fields, *([] if token is None else [bearer(token)])], method)
        return ask_wsgi(app, ask) if isinstance(app, Flask) else ask_asgi(app, ask)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
WRITTEN = [page for page in PAGES if REFERENCE not in page.parents]
every_written_page = pytest.mark.parametrize("page", WRITTEN, ids=name_of)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the pages take for granted: secrets in the environment, and a key set in a file."""
    for platform in ("SHOPIFY", "WHATALO"):
        monkeypatch.setenv(f"{platform}_CLIENT_ID", "ours")
        monkeypatch.setenv(f"{platform}_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("SHOPIFY_OLD_CLIENT_SECRET", OLD_SECRET)
    monkeypatch.setenv("WHATALO_API_SECRET", SECRET)
    monkeypatch.setenv("JTL_APP_ID", "ours")
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jtl-jwks.json").write_text(json.dumps({"keys": [public_jwk(private_key("EdDSA"))]}))


def run(page: Path, reader: Reader | None = None, *, before: bool = False) -> dict[str, Any]:
    """Run a page as one program; what it has defined at its end."""
    names: dict[str, Any] = {"__name__": page.stem, "reader": reader or Reader()}
    for code in programs(page, before=before):
        exec(code, names)
    return names


def programs(page: Path, *, before: bool) -> Iterator[CodeType]:
    """The blocks of a page that make one program: its own, or that of the library which was there before."""
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        if bool(block["before"] or block["unseen"]) is before:
            lines_before = text.count("\n", 0, block.start()) + 1
            code = block["shown"] if block["hidden"] is None else block["hidden"]
            yield compile("\n" * lines_before + code, page, "exec")


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Pages show how to set the level of our logger and where events go, and other tests must not feel it."""
    logger = logging.getLogger("bearerguard")
    level, bring_back = logger.level, set_sinks(to_log)
    yield
    logger.setLevel(level)
    bring_back()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in RUN_ELSEWHERE and REFERENCE not in page.parents], ids=name_of
)
@pytest.mark.usefixtures("surroundings")
def test_runs_the_code_of_every_page(page: Path) -> None:
    run(page)


MIGRATIONS = [page for page in WRITTEN if "```python before" in page.read_text()]


@pytest.mark.parametrize("page", MIGRATIONS, ids=name_of)
def test_shows_code_of_other_libraries_that_can_be_compiled(page: Path) -> None:
    assert list(programs(page, before=True))


@every_written_page
def test_leaves_no_python_unrun(page: Path) -> None:
    text = page.read_text()
    fences = re.findall(r"^\s*(?:```|~~~) *(?:py|python|python3|pycon)\b.*$", text, re.MULTILINE | re.IGNORECASE)
    assert len(fences) == sum(block["shown"] is not None for block in _BLOCK.finditer(text))
    assert text.count("<!-- python") == sum(block["hidden"] is not None for block in _BLOCK.finditer(text))


@every_written_page
def test_shows_nothing_that_only_the_tests_have(page: Path) -> None:
    shown = [block["shown"] or "" for block in _BLOCK.finditer(page.read_text())]
    assert [code for code in shown if re.search(r"\breader\b", code)] == []


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives the headings of a page."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_has_links_that_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def linked_from(page: Path) -> set[Path]:
    """The files that a page leads to."""
    return {(page.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(page.read_text())}


def test_leads_to_every_page_of_the_docs() -> None:
    lists = [DOCS / "index.md", *DOCS.glob("*/index.md")]
    linked = linked_from(lists[0]).union(*(linked_from(each) for each in lists[1:]))
    assert linked_from(lists[0]) >= set(lists[1:])
    assert linked >= {page for page in PAGES if DOCS in page.parents and page != lists[0]}


def names_in_opentelemetry() -> set[str]:
    """The counters and attributes that OpenTelemetry is told of, which are spelt like modules of ours."""
    return set(re.findall(r'"(bearerguard\.\w+)"', (ROOT / "src" / "bearerguard" / "otel.py").read_text()))


@every_page
def test_names_only_what_there_is(page: Path) -> None:
    for dotted in names_in(page) - names_in_opentelemetry():
        if not dotted.startswith(NAMED_ELSEWHERE):
            find(dotted)


def names_in(page: Path) -> set[str]:
    """What a page names of ours, with all its dots."""
    return set(re.findall(r"`(bearerguard(?:\.\w+)+)`", page.read_text()))


def find(dotted: str) -> None:
    """Look a name up; an error where it is not there."""
    found: Any = bearerguard
    for part in dotted.split(".")[1:]:
        with_submodules = inspect.ismodule(found) and not hasattr(found, part)
        found = importlib.import_module(f"{found.__name__}.{part}") if with_submodules else getattr(found, part)


def test_speaks_of_every_public_name() -> None:
    said = "\n".join(page.read_text() for page in WRITTEN if page.name != "CHANGELOG.md")
    assert [name for name in bearerguard.__all__ if not re.search(rf"\b{name}\b", said)] == []


# --- Tables that must be complete ------------------------------------------------------------------------------------


def first_cells(page: str) -> list[str]:
    """The words in code letters with which the rows of a page's tables begin."""
    return re.findall(r"^\| `(\w+)`", (DOCS / page).read_text(), re.MULTILINE)


def reasons_in_the_docs() -> dict[str, set[int]]:
    """Every reason word, and the status, or the two, that the docs say it is answered with."""
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}(?: or \d{3})?) \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    return {word: set(map(int, said.split(" or "))) for word, said in rows}


def test_explains_every_reason_word_once() -> None:
    assert sorted(first_cells("errors.md")) == sorted(REASONS)


@pytest.mark.parametrize("word", REASONS)
def test_tells_the_status_that_a_reason_is_answered_with(word: str) -> None:
    assert statuses_in_the_code()[word] <= reasons_in_the_docs()[word]


@cache
def statuses_in_the_code() -> Mapping[str, set[int]]:
    """With which statuses each reason word is raised, as far as that is written beside the word."""
    found: dict[str, set[int]] = {word: set() for word in REASONS}
    for refusal in REFUSALS.values():
        found[refusal.default_reason].add(refusal.status)
    for node in (node for source in SOURCES for node in ast.walk(ast.parse(source.read_text()))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS:
            said = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            for word in found.keys() & said:
                found[word].add(REFUSALS[node.func.id].status)
    return found


@pytest.mark.parametrize("settings", [SignedTokens, OpaqueTokens, JwksKeys])
def test_describes_every_setting(settings: type[Any]) -> None:
    described = first_cells("settings.md")
    fields = [field.name for field in dataclasses.fields(settings) if field.init]
    assert [name for name in fields if name not in described] == []


@pytest.mark.parametrize("called", [Verifier, BearerMiddleware], ids=lambda called: called.__name__)
def test_describes_every_argument(called: Any) -> None:
    described = first_cells("settings.md")
    names = [name for name in inspect.signature(called).parameters if name not in ("app", "first", "more")]
    assert [name for name in names if name not in described] == []


def test_describes_every_event_with_its_fields() -> None:
    rows = re.findall(r"^\| `([A-Z]\w+)` \| ([^|]*)\|", (DOCS / "events.md").read_text(), re.MULTILINE)
    described = {name: re.findall(r"`(\w+)`", fields) for name, fields in rows}
    there = {name: [each.name for each in dataclasses.fields(getattr(events, name))] for name in events.__all__}
    assert described == {name: fields for name, fields in there.items() if name != "Event"}


def test_is_content_with_the_rights_in_redis_that_it_asks_for(own_redis_server: RedisServer) -> None:
    (rule,) = re.findall(r"^ACL SETUSER bearerguard .*$", (DOCS / "deployment.md").read_text(), re.MULTILINE)
    own_redis_server.cli(*rule.split())
    (password,) = re.findall(r" >(\S+)", rule)
    verifier = Verifier(
        whatalo.session_tokens(client_id="ours", client_secret=SECRET),
        store=f"redis://bearerguard:{password}@127.0.0.1:{own_redis_server.port}",
    )
    app = Flask(__name__)
    init_app(app, SessionTokenMiddleware, verifier=verifier)
    app.add_url_rule("/once", view_func=single_use(lambda: ""))
    reader, token = Reader(), Reader().token()
    with verifier:
        assert [reader.asks(app, "GET /once", token).status for _ in range(2)] == [200, 401]
        verifier.denylist.revoke_tenant("str_8k2m4n6p")
        assert reader.asks(app, "GET /once", reader.token()).json()["detail"] == "the token has been revoked"
