"""The house: which room may import which, who knows a framework, and how the code is cut (DESIGN.md, section 3)."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent / "src" / "bearerguard"

# --- The table -------------------------------------------------------------------------------------------------------

# Every room, with the modules and packages in it.
ROOMS: Mapping[str, frozenset[str]] = {
    "words": frozenset(
        [
            *("errors", "encoding", "checks", "carriers", "claim_rules", "claims", "keys", "settings", "access"),
            *("events", "sinks", "journal", "extras"),
        ],
    ),
    "rules": frozenset({"rules"}),
    "core": frozenset({"core"}),
    "io": frozenset({"io"}),
    "stores": frozenset({"stores"}),
    "front": frozenset({"client_credentials", "connections", "denylist", "revocable", "verifier"}),
    "doors": frozenset(
        [
            *("asgi", "wsgi", "django", "fastapi", "flask", "mcp", "doorway", "otel"),
            *("guards", "guarded_views", "requirements", "signatures", "views"),
        ]
    ),
    "platforms": frozenset({"platforms"}),
    "testing": frozenset({"testing"}),
    "entrance": frozenset({"__init__"}),
    "demo": frozenset({"demo"}),
    "command": frozenset({"cli", "__main__"}),
}

# What each room may import, beside itself.
BELOW: Mapping[str, frozenset[str]] = {
    "words": frozenset(),
    "rules": frozenset({"words"}),
    "core": frozenset({"words", "rules"}),
    "io": frozenset({"words", "core"}),
    "stores": frozenset({"words", "rules", "core"}),
    "front": frozenset({"words", "rules", "core", "io", "stores"}),
    "doors": frozenset({"words", "rules", "core", "front"}),
    # Presets are settings, hence words; the one for access tokens of the app's own gives a ClientCredentials.
    "platforms": frozenset({"words", "stores", "front"}),
    # Above the doors and apart from them: what is for tests must not be needed by anything else.
    "testing": frozenset({"words", "rules", "core", "front", "stores", "platforms"}),
    "entrance": frozenset({"words", "stores", "front", "doors"}),
    # On top of all: nothing but the command line knows of it.
    "demo": frozenset({"words", "core", "stores", "front", "doors", "platforms", "testing"}),
    "command": frozenset(
        ["words", "rules", "core", "io", "stores", "front", "doors", "platforms", "entrance", "testing", "demo"]
    ),
}

# Which modules may import what is not ours, nor Python's; by what their names begin with.
FOREIGN: Mapping[str, tuple[str, ...]] = {
    "redis": ("stores.redis",),
    "httpx": ("io.",),
    "httpx2": ("io.auth",),
    "httpcore": ("io.",),
    "jwt": ("keys.",),
    "cryptography": ("keys.", "testing.keys"),
    "starlette": ("asgi", "fastapi", "mcp", "demo"),
    "werkzeug": ("wsgi", "flask", "demo"),
    "fastapi": ("fastapi",),
    "flask": ("flask",),
    "mcp": ("mcp",),
    "pydantic": ("mcp",),
    "django": ("django",),
    "asgiref": ("django",),
    "opentelemetry": ("otel",),
    "_typeshed": ("wsgi", "flask", "demo"),
    "pytest": ("testing.plugin",),
}

# What must not be imported along.
HEAVY = (
    *("httpx", "httpx2", "httpcore", "redis", "starlette", "werkzeug", "cryptography", "jwt"),
    *("django", "asgiref", "fastapi", "flask", "anyio", "opentelemetry", "mcp", "pytest"),
)

# The doors know one framework each; what they share is no framework's.
DOORS_APART = (
    *(("asgi", "wsgi"), ("wsgi", "asgi"), ("fastapi", "wsgi"), ("flask", "asgi"), ("mcp", "wsgi")),
    *(("django", "asgi"), ("doorway", "asgi")),
)


# --- Reading it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One import: the module that has it, what it names, and whether it is done while the module is loaded."""

    module: str
    line: int
    target: str
    is_ours: bool
    at_load: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


@cache
def trees() -> Mapping[str, ast.Module]:
    """Every module's source, by its dotted name below bearerguard; a package is named without `__init__`."""
    return {_dotted(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(HOUSE.rglob("*.py"))}


def _dotted(path: Path) -> str:
    parts = [*path.relative_to(HOUSE).with_suffix("").parts]
    return ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])


def is_package(module: str) -> bool:
    return (HOUSE / Path(*module.split(".")) / "__init__.py").exists()


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module, also those inside functions and those for type checkers."""
    return tuple(found for module, tree in trees().items() for found in _imports_in(module, tree, at_load=True))


def _imports_in(module: str, node: ast.AST, *, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or _is_for_type_checkers(child)
        if isinstance(child, ast.Import):
            for name in child.names:
                yield Import(module, child.lineno, name.name, name.name.split(".")[0] == "bearerguard", at_load)
        elif isinstance(child, ast.ImportFrom):
            for target in _targets(module, child):
                yield Import(module, child.lineno, target, bool(child.level), at_load)
        yield from _imports_in(module, child, at_load=at_load and not later)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _targets(module: str, node: ast.ImportFrom) -> list[str]:
    """What `from x import a, b` names: the modules a and b of x where they are modules, else x."""
    if not node.level:
        return [node.module or ""]
    home = module.split(".") if is_package(module) else module.split(".")[:-1]
    stem = [*home[: len(home) - node.level + 1], *(node.module.split(".") if node.module else [])]
    named = [".".join([*stem, name.name]) for name in node.names]
    return [name if name in trees() else ".".join(stem) or "__init__" for name in named]


def room_of(module: str) -> str:
    """The room that a module is in."""
    top = module.split(".")[0]
    (room,) = [room for room, modules in ROOMS.items() if top in modules]
    return room


# --- Direction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", trees())
def test_every_module_is_in_one_room(module: str) -> None:
    assert sum(module.split(".")[0] in modules for modules in ROOMS.values()) == 1


def test_the_table_names_no_room_that_is_gone() -> None:
    assert {module for modules in ROOMS.values() for module in modules} == {name.split(".")[0] for name in trees()}
    assert BELOW.keys() == ROOMS.keys()


@pytest.mark.parametrize("module", trees())
def test_imports_point_down(module: str) -> None:
    allowed = BELOW[room_of(module)] | {room_of(module)}
    ours = [found for found in imports() if found.module == module and found.is_ours]
    assert [str(found) for found in ours if room_of(found.target) not in allowed] == []


def test_there_is_an_up_and_a_down() -> None:
    TopologicalSorter(BELOW).prepare()


def test_no_modules_wait_for_each_other() -> None:
    graph: dict[str, set[str]] = {module: set() for module in trees()}
    for found in imports():
        if found.is_ours and found.at_load and found.target != found.module:
            graph[found.module].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(f"these modules import each other: {' <- '.join(cycle.args[1])}")


@pytest.mark.parametrize(("door", "other"), DOORS_APART)
def test_doors_do_not_know_each_other(door: str, other: str) -> None:
    ours = [found for found in imports() if found.module.split(".")[0] == door and found.is_ours]
    assert [str(found) for found in ours if found.target.split(".")[0] == other] == []


def test_ours_are_imported_by_relative_names() -> None:
    assert [str(found) for found in imports() if found.target.startswith("bearerguard")] == []


# --- Who knows what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", trees())
def test_only_who_may_imports_what_is_not_ours(module: str) -> None:
    foreign = [found for found in imports() if found.module == module and not found.is_ours and not _is_pythons(found)]
    assert [str(found) for found in foreign if not _may_import(found)] == []


def _is_pythons(found: Import) -> bool:
    return found.target.split(".")[0] in sys.stdlib_module_names


def _may_import(found: Import) -> bool:
    return found.module.startswith(FOREIGN.get(found.target.split(".")[0], ()))


@pytest.mark.parametrize("module", trees())
def test_the_core_waits_for_its_ports_only(module: str) -> None:
    """Only what lives in one loop knows asyncio; rules and core know no I/O at all."""
    if room_of(module) not in ("words", "rules", "core"):
        return
    named = {found.target.split(".")[0] for found in imports() if found.module == module and not found.is_ours}
    assert named & {"asyncio", "socket", "ssl", "http", "threading", "os", "io", "subprocess", "select"} <= (
        {"threading", "os"} if module == "sinks" else set()
    )


# --- What is imported along ------------------------------------------------------------------------------------------


# Verifiers of each sort, as a module builds them before the first request.
NAMES = "from bearerguard import JwksKeys, OpaqueTokens, RedisStore, SharedSecrets, SignedTokens, Verifier\n"
OURS = "issuer='https://id.example.com', audience='orders'"
HMAC = f"SignedTokens(keys=SharedSecrets('s' * 32), algorithms=('HS256',), {OURS})"
FETCHED = f"SignedTokens(keys=JwksKeys('https://id.example.com/keys'), algorithms=('RS256',), {OURS})"
ASKED = f"OpaqueTokens(client_id='orders', client_secret='s' * 32, {OURS})"


def loaded_by(statement: str) -> set[str]:
    """The packages that a statement loads in a new process."""
    script = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*{{n.split('.')[0] for n in sys.modules}})"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "may_load"),
    [
        pytest.param("import bearerguard; bearerguard.MemoryStore()", (), id="the package"),
        pytest.param("import bearerguard.asgi", ("starlette", "anyio"), id="the ASGI door"),
        pytest.param("import bearerguard.wsgi", ("werkzeug",), id="the WSGI door"),
        pytest.param("import bearerguard.flask", ("werkzeug", "flask"), id="Flask"),
        pytest.param("import bearerguard.fastapi", ("starlette", "anyio", "fastapi", "opentelemetry"), id="FastAPI"),
        pytest.param("import bearerguard.otel", ("opentelemetry",), id="OpenTelemetry"),
        pytest.param("import bearerguard.events, bearerguard.sinks", (), id="events"),
        pytest.param("import bearerguard.testing", (), id="what is for tests"),
        pytest.param("from bearerguard.platforms import jtl, oauth, shopify, whatalo", (), id="the presets"),
        pytest.param(
            "import bearerguard; bearerguard.RedisStore('redis://localhost')", ("redis",), id="a store in Redis"
        ),
        pytest.param(
            "import sys; sys.stdout = sys.stderr\nfrom bearerguard.cli import main\n"
            "main(['--help']), main(['doctor', '--help'])\nsys.stdout = sys.__stdout__",
            (),
            id="the command",
        ),
        pytest.param("import bearerguard; bearerguard.JwksKeys('https://id.example.com/keys')", (), id="a key set"),
        pytest.param(f"{NAMES}Verifier({HMAC})", ("cryptography", "jwt"), id="a verifier with a secret"),
        pytest.param(f"{NAMES}Verifier({FETCHED})", (), id="a verifier with a key set"),
        pytest.param(f"{NAMES}Verifier({ASKED})", ("cryptography", "jwt"), id="a verifier that asks a provider"),
        pytest.param(f"{NAMES}Verifier({FETCHED}, store=RedisStore('redis://localhost'))", ("redis",), id="with Redis"),
        pytest.param(
            f"from bearerguard.asgi import BearerMiddleware\n{NAMES}BearerMiddleware(None, Verifier({FETCHED}))",
            ("starlette", "anyio"),
            id="a door of ASGI that stands",
        ),
        pytest.param(
            f"from bearerguard.wsgi import BearerMiddleware\n{NAMES}BearerMiddleware(None, Verifier({FETCHED}))",
            ("werkzeug",),
            id="a door of WSGI that stands",
        ),
    ],
)
def test_imports_nothing_heavy_along(statement: str, may_load: tuple[str, ...]) -> None:
    unwanted = set(HEAVY) - set(may_load)
    # redis-py brings in its own friends where they are installed.
    if "redis" in may_load:
        unwanted -= {"jwt", "cryptography", "httpx", "httpcore", "anyio", "opentelemetry"}
    assert loaded_by(statement) & unwanted == set()


# --- How it is cut ---------------------------------------------------------------------------------------------------


def functions() -> Iterator[tuple[str, int]]:
    """Every function with a body, and how many lines it has, its decorators left out."""
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _is_bodiless(node):
                assert node.end_lineno is not None
                yield f"{module}.{node.name}", node.end_lineno - node.lineno + 1


def _is_bodiless(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """What a protocol or an overload declares: a docstring, dots, or nothing."""
    return all(isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant) for step in node.body)


def test_functions_are_short() -> None:
    lengths = sorted(length for _, length in functions())
    assert len(lengths) > 300
    assert statistics.median(lengths) <= 8
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_no_function_is_long() -> None:
    assert [(name, length) for name, length in functions() if length > 60] == []


@pytest.mark.parametrize("module", trees())
def test_every_module_says_what_it_is_for(module: str) -> None:
    said = ast.get_docstring(trees()[module])
    assert said
    assert said.splitlines()[0].endswith((".", ":"))


def test_most_modules_can_be_read_in_a_sitting() -> None:
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in HOUSE.rglob("*.py"))
    assert lengths[len(lengths) // 2] <= 150
    assert lengths[-1] <= 400


def test_there_is_no_room_for_odds_and_ends() -> None:
    names = {name.split(".")[-1] for name in trees()}
    assert names & {"utils", "helpers", "common", "misc", "base", "manager"} == set()
