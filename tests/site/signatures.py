"""How a function is called and a class is built, in the words of the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from .source import Found, Module

WIDTH = 88

Function = ast.FunctionDef | ast.AsyncFunctionDef


def of_function(name: str, found: Found) -> list[str]:
    """One line or block for each way to call it."""
    functions = [node for node in found.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    shown = functions[:-1] if len(functions) > 1 else functions
    return [_called(name, each, found.module) for each in shown]


def of_class(name: str, found: Found) -> str | None:
    """How to build one; None where nobody is asked for anything."""
    maker = _maker(found)
    if maker is None:
        return None
    taken, _ = maker
    return _laid_out(name, taken, "")


def fields_of(found: Found) -> Iterator[tuple[Found, ast.AnnAssign]]:
    """The annotated names in the body of a class and of those that it is made from, ours only, the oldest first."""
    for _, base in found.bases():
        if base is not None:
            yield from fields_of(base)
    if isinstance(found.node, ast.ClassDef):
        yield from ((found, each) for each in found.node.body if isinstance(each, ast.AnnAssign))


def is_typed_dict(found: Found) -> bool:
    """Whether a class is a TypedDict, by itself or through another of ours."""
    return any(text == "TypedDict" or (base and is_typed_dict(base)) for text, base in found.bases())


def _maker(found: Found) -> tuple[list[str], Found] | None:
    """What is taken, and the class that says so: an `__init__`, or the fields of a dataclass."""
    assert isinstance(found.node, ast.ClassDef)
    for each in found.node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _parameters(each, found.module, bound=True), found
    if _is_dataclass(found.node):
        return _of_fields(found), found
    for _, base in found.bases():
        maker = _maker(base) if base else None
        if maker:
            return maker
    return None


def _called(name: str, function: Function, where: Module, *, bound: bool = False) -> str:
    returns = f" -> {where.written(function.returns)}" if function.returns else ""
    waits = "await " if isinstance(function, ast.AsyncFunctionDef) and not _yields(function) else ""
    return _laid_out(waits + name, _parameters(function, where, bound=bound), returns)


def _yields(function: Function) -> bool:
    return any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(function))


def of_method(name: str, function: Function, where: Module) -> str:
    """How a method is called."""
    bound = not any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
    return _called(name, function, where, bound=bound)


def _laid_out(name: str, taken: list[str], returns: str) -> str:
    line = f"{name}({', '.join(taken)}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in taken), f"){returns}"])


def _parameters(function: Function, where: Module, *, bound: bool) -> list[str]:
    given, taken = function.args, []
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    for index, (each, default) in enumerate(zip(plain, defaults, strict=True)):
        taken.append(_parameter(each, default, where))
        if index + 1 == len(given.posonlyargs) > bound:
            taken.append("/")
    taken = taken[bound:]
    if given.vararg:
        taken.append(f"*{_parameter(given.vararg, None, where)}")
    elif given.kwonlyargs:
        taken.append("*")
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    taken += [_parameter(each, default, where) for each, default in pairs]
    return [*taken, f"**{_parameter(given.kwarg, None, where)}"] if given.kwarg else taken


def _parameter(each: ast.arg, default: ast.expr | None, where: Module) -> str:
    annotation = f": {where.written(each.annotation)}" if each.annotation else ""
    return f"{each.arg}{annotation}{'' if default is None else f' = {where.written(default)}'}"


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(each) for each in node.decorator_list)


def _of_fields(found: Found) -> list[str]:
    taken, by_name = [], _asks_for_names(found)
    for owner, each in fields_of(found):
        text = _field(each, owner.module)
        if text == "*":
            by_name = False
        if text:
            taken.append(text)
    return ["*", *taken] if by_name and taken else taken


def _asks_for_names(found: Found) -> bool:
    assert isinstance(found.node, ast.ClassDef)
    return any("kw_only=True" in ast.unparse(each) for each in found.node.decorator_list)


def _field(each: ast.AnnAssign, where: Module) -> str | None:
    name, annotation = where.written(each.target), where.written(each.annotation)
    if annotation == "KW_ONLY":
        return "*"
    if annotation.startswith("ClassVar") or (each.value and _says(each.value, "init", "False")):
        return None
    default = _default(each.value, where) if each.value else ""
    return f"{name}: {annotation}{default}"


def _default(value: ast.expr, where: Module) -> str:
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "field"):
        return f" = {where.written(value)}"
    said = {each.arg: where.written(each.value) for each in value.keywords}
    if "default_factory" in said:
        return f" = {said['default_factory']}()"
    return f" = {said['default']}" if "default" in said else ""


def _says(value: ast.expr, name: str, word: str) -> bool:
    keywords: Iterable[ast.keyword] = value.keywords if isinstance(value, ast.Call) else ()
    return any(each.arg == name and ast.unparse(each.value) == word for each in keywords)
