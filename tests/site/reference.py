"""The API reference: one Markdown page for each public module, made from its docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .pages import ROOT
from .signatures import fields_of, is_typed_dict, of_class, of_function, of_method
from .source import Found, Module, module

FOLDER = ROOT / "docs" / "api"
NOT_EVERYWHERE = ("bearerguard.django", "bearerguard.mcp")
"""Public modules that need a package which most tests do without. They can be read all the same."""

_ALIAS = re.compile(r"\b[A-Z]\w+\b")


def pages(modules: Iterable[str]) -> Mapping[Path, str]:
    """Every page of the reference, by its file."""
    names = list(modules)
    return {FOLDER / "index.md": _index(names)} | {FOLDER / file_name(name): page(module(name)) for name in names}


def file_name(name: str) -> str:
    """The file of a module's page."""
    return f"{name.removeprefix('bearerguard.').replace('.', '-')}.md"


def write(modules: Iterable[str]) -> None:
    """Put the pages into the docs, and take away what no module stands for any more."""
    there = pages(modules)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in set(FOLDER.glob("*.md")) - there.keys():
        old.unlink()
    for file, text in there.items():
        file.write_text(text, encoding="utf-8")


def page(where: Module) -> str:
    """The page of one module."""
    things = {name: found for name in where.exported if (found := where.found(name)) is not None}
    rows = [f"| [`{name}`](#{name.lower()}) | {_first_line(found.doc)} |" for name, found in things.items()]
    parts = [f"# {where.name}", where.doc, "\n".join(["| name | for |", "|---|---|", *rows])]
    for name, found in things.items():
        parts += _thing(name, found, things)
    parts += _aliases(things, "\n".join(parts))
    return _MADE + "\n\n".join(part for part in parts if part) + "\n"


_MADE = "<!-- Made from the docstrings by `python -m tests.site --reference`: change those, not this. -->\n\n"


def _index(names: Iterable[str]) -> str:
    rows = [f"| [`{name}`]({file_name(name)}) | {_first_line(module(name).doc)} |" for name in names]
    text = "Every public name, with what its docstring says. One page for each module:"
    return (
        f"{_MADE}# API reference\n\n{text}\n\n" + "\n".join(["| module | what is in it |", "|---|---|", *rows]) + "\n"
    )


def _first_line(doc: str) -> str:
    """The first sentence of what is said, made fit for a table."""
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|").removesuffix(":")


def _code(lines: Iterable[str]) -> str:
    return "\n".join(["```python", *lines, "```"])


def _thing(name: str, found: Found, page: Mapping[str, Found]) -> Iterator[str]:
    yield f"## {name}"
    node = found.node
    if isinstance(node, ast.ClassDef):
        yield from _class(name, found, page)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield _code(of_function(name, found))
        yield found.doc
    else:
        yield _code([ast.get_source_segment(found.module.text, node) or ""])
        yield found.doc


# --- Classes ---------------------------------------------------------------------------------------------------------


def _class(name: str, found: Found, page: Mapping[str, Found]) -> Iterator[str]:
    yield _shape(name, found)
    yield _kinds(found, page)
    yield found.doc
    yield _facts(found)
    yield _properties(found, page)
    for owner, method in _methods(found, page):
        yield f"### {name}.{method.name}"
        yield _code([of_method(method.name, method, owner.module)])
        yield ast.get_docstring(method) or ""


def _shape(name: str, found: Found) -> str:
    if is_typed_dict(found):
        lines = [f"    {each.module.written(field)}" for each, field in fields_of(found)]
        return _code([f"class {name}(TypedDict):", *(lines or ["    ..."])])
    built = of_class(name, found)
    return _code([built]) if built else ""


_SAYS_NOTHING = ("Auth", "NamedTuple", "TypedDict")


def _kinds(found: Found, page: Mapping[str, Found]) -> str:
    """Of what a class is a kind, where that is on this page or from elsewhere."""
    said = []
    for text, base in found.bases():
        if base is None and text not in _SAYS_NOTHING and not text.startswith(("Generic", "Protocol")):
            said.append(f"`{text}`")
        elif base in page.values():
            said.append(f"[`{text}`](#{text.lower()})")
    return f"A kind of {' and of '.join(said)}." if said else ""


def _facts(found: Found) -> str:
    """The plain values in the body of a class."""
    assert isinstance(found.node, ast.ClassDef)
    plain = [each for each in found.node.body if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)]
    shown = [found.module.written(each) for each in plain]
    return "\n".join(f"- `{text}`" for text in shown if not text.startswith("_"))


def _properties(found: Found, page: Mapping[str, Found]) -> str:
    rows = [
        f"| `{method.name}` | `{_escaped(owner.module.written(method.returns))}` | "
        f"{_first_line(ast.get_docstring(method) or '')} |"
        for owner, method in _members(found, page)
        if _is_property(method) and method.returns
    ]
    return "\n".join(["| property | type | is |", "|---|---|---|", *rows]) if rows else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _methods(found: Found, page: Mapping[str, Found]) -> Iterator[tuple[Found, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return ((owner, method) for owner, method in _members(found, page) if not _is_property(method))


def _members(found: Found, page: Mapping[str, Found]) -> Iterator[tuple[Found, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public methods and properties; those of a parent only where it has no place of its own on the page."""
    assert isinstance(found.node, ast.ClassDef)
    for each in found.node.body:
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_public(each):
            yield found, each
    own = {each.name for each in found.node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for _, base in found.bases():
        if base is not None and base not in page.values():
            yield from ((owner, each) for owner, each in _members(base, page) if each.name not in own)


def _is_public(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is for readers; what sets a property goes without saying."""
    sets = any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in method.decorator_list)
    return not (sets or method.name.startswith("_"))


def _is_property(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(each) in ("property", "cached_property") for each in method.decorator_list)


# --- Words in signatures ---------------------------------------------------------------------------------------------


def _aliases(page: Mapping[str, Found], text: str) -> Iterator[str]:
    """What the short names in the signatures stand for; those that only bodies of functions know are left out."""
    meant: dict[str, str] = {}
    for found in page.values():
        for node in found.nodes:
            _collect(found.module, found.module.written(node), meant)
    said = " ".join([text, *meant.values()])
    shown = [name for name in sorted(meant) if name not in page and re.search(rf"\b{name}\b", said)]
    rows = [f"| `{name}` | `{_escaped(meant[name])}` |" for name in shown]
    if rows:
        yield "## Words in signatures"
        yield "\n".join(["| word | stands for |", "|---|---|", *rows])


def _collect(where: Module, text: str, meant: dict[str, str]) -> None:
    for name in _ALIAS.findall(text):
        found = where.found(name)
        if name not in meant and found is not None and _is_alias(found):
            assert isinstance(found.node, ast.AnnAssign)
            assert found.node.value is not None
            meant[name] = found.module.written(found.node.value).strip("()\" '")
            _collect(found.module, meant[name], meant)


def _is_alias(found: Found) -> bool:
    node = found.node
    return isinstance(node, ast.AnnAssign) and found.module.written(node.annotation) == "TypeAlias"
