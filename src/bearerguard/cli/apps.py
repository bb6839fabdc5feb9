"""The user's own verifier, found by where it stands: `package.module:name`."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..settings import OpaqueTokens, SignedTokens
from ..verifier import Verifier
from .outcomes import WrongUsage
from .paper import plain

USUAL_NAME = "verifier"


def verifier_of(place: str) -> Verifier[Any]:
    """The verifier at `package.module:name`; what stands there may be one, make one when called, or be settings."""
    module_name, _, name = place.partition(":")
    if not module_name or not all(part.isidentifier() for part in module_name.split(".")):
        raise WrongUsage(f"--app is {plain(place)!r}; write where your verifier stands, as in shop.main:verifier")
    found = _member(_module(module_name), module_name, name or USUAL_NAME)
    if callable(found) and not isinstance(found, (Verifier, SignedTokens, OpaqueTokens)):
        found = _called(found, place)
    if isinstance(found, (SignedTokens, OpaqueTokens)):
        found = _guarded(lambda: Verifier(found), f"Verifier({place})")
    if not isinstance(found, Verifier):
        raise WrongUsage(f"--app {plain(place)}: this is a {type(found).__name__}, and no Verifier")
    return found


def _module(name: str) -> ModuleType:
    if "" not in sys.path and "." not in sys.path:
        sys.path.insert(0, "")
    try:
        module: ModuleType = _guarded(
            lambda: importlib.import_module(name), f"importing {name}", passes=ModuleNotFoundError
        )
        return module
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(f"{error.name}.")):
            raise WrongUsage(
                f"--app: there is no module {error.name} here; go to the directory that your app is started in, "
                "or set PYTHONPATH"
            ) from error
        raise WrongUsage(
            f"--app: importing {name} needs a module {plain(str(error.name))}, and there is none"
        ) from error


def _member(module: ModuleType, module_name: str, dotted: str) -> Any:
    found: Any = module
    for part in dotted.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise WrongUsage(f"--app: {module_name} has no {plain(dotted)}; write {module_name}:NAME") from None
    return found


def _called(factory: Callable[[], Any], place: str) -> Any:
    if inspect.iscoroutinefunction(factory):
        raise WrongUsage(f"--app {plain(place)}: this is an async function; name a plain one, or the verifier itself")
    return _guarded(factory, f"calling {place}")


def _guarded(work: Callable[[], Any], doing: str, *, passes: type[Exception] | None = None) -> Any:
    """What the user's code gives; what it prints goes to the error output, and what it raises is said in one line."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return work()
    except (Exception, SystemExit) as error:
        if passes is not None and isinstance(error, passes):
            raise
        raise WrongUsage(f"{plain(doing)} raised {_said(error)}") from error


def _said(error: BaseException) -> str:
    """An exception of the user's code, and where it came from."""
    text = plain(" ".join(str(error).split()))
    steps = traceback.extract_tb(error.__traceback__)
    theirs = [step for step in steps if "importlib" not in step.filename and not step.filename.startswith("<frozen")]
    place = f" ({plain(theirs[-1].filename)}, line {theirs[-1].lineno})" if theirs[1:] else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"
