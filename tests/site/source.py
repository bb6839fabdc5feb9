"""What the source says, read and not run: modules of the package, and what stands behind a name in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from .pages import ROOT

PACKAGE = "bearerguard"


@dataclass(frozen=True)
class Module:
    """One module, by its dotted name."""

    name: str

    @cached_property
    def text(self) -> str:
        """Its source."""
        where = ROOT.joinpath("src", *self.name.split("."))
        file = where / "__init__.py" if where.is_dir() else where.with_suffix(".py")
        return file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The same, parsed."""
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        """Whether relative imports in it begin with itself."""
        return ROOT.joinpath("src", *self.name.split(".")).is_dir()

    @property
    def doc(self) -> str:
        """What it says of itself."""
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def exported(self) -> list[str]:
        """The names in its `__all__`, else all public ones that are made here and not imported."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and _assigned(node) == "__all__":
                return [str(name) for name in ast.literal_eval(node.value)]
        return [name for name in self._nodes if not name.startswith("_")]

    def written(self, node: ast.stmt | ast.expr) -> str:
        """The words in which something is written, on one line."""
        first, last = node.lineno - 1, node.end_lineno
        lines = self._lines[first:last]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return " ".join(b"".join(lines).decode().split())

    @cached_property
    def _lines(self) -> list[bytes]:
        """In bytes, for so are columns counted."""
        return self.text.encode().splitlines(keepends=True)

    def found(self, name: str) -> Found | None:
        """What `name` means in this module, wherever in the package it is made."""
        if name in self._nodes:
            return Found(self, self._nodes[name])
        origin = self._imports.get(name)
        return module(origin[0]).found(origin[1]) if origin else None

    @cached_property
    def _nodes(self) -> dict[str, list[ast.stmt]]:
        made: dict[str, list[ast.stmt]] = {}
        for node in self.tree.body:
            name = _assigned(node) or getattr(node, "name", None)
            if name:
                made.setdefault(name, []).append(node)
        return made

    @cached_property
    def _imports(self) -> dict[str, tuple[str, str]]:
        """Local name -> module of the package and name there."""
        found: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (origin := self._origin(node)):
                found |= {each.asname or each.name: (origin, each.name) for each in node.names}
        return found

    def _origin(self, node: ast.ImportFrom) -> str | None:
        if not node.level:
            return node.module if (node.module or "").split(".")[0] == PACKAGE else None
        parts = self.name.split(".")
        above = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*above, node.module] if node.module else above)


@dataclass(frozen=True)
class Found:
    """What stands behind a name: overloads are several statements, everything else is one."""

    module: Module
    nodes: list[ast.stmt]

    @property
    def node(self) -> ast.stmt:
        """The statement that counts: of overloads the last, which does the work."""
        return self.nodes[-1]

    @property
    def doc(self) -> str:
        """Its docstring; that of an assignment stands below it."""
        if isinstance(self.node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            return ast.get_docstring(self.node) or ""
        return doc_below(self.module.tree.body, self.node)

    def bases(self) -> Iterator[tuple[str, Found | None]]:
        """The classes that a class is made from: as they are written, and what they are where they are ours."""
        if isinstance(self.node, ast.ClassDef):
            for base in self.node.bases:
                named = base.value if isinstance(base, ast.Subscript) else base
                yield self.module.written(base), self.module.found(named.id) if isinstance(named, ast.Name) else None


@cache
def module(name: str) -> Module:
    """The module of that name."""
    return Module(name)


def doc_below(body: list[ast.stmt], node: ast.stmt) -> str:
    """The text that stands right below a statement, as the docstring of an attribute does."""
    after = body[body.index(node) + 1 :][:1]
    for each in after:
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str):
            return each.value.value
    return ""


def _assigned(node: ast.stmt) -> str | None:
    target: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    return target.id if isinstance(target, ast.Name) else None
