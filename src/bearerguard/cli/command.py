"""The command itself: it finds the verb, writes what that found out, and ends with a code; never with a traceback."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, TypeAlias

from ..errors import SettingsError, Unavailable
from ..journal import line_of
from . import arguments
from .call import Call, Heard, listening
from .outcomes import Answer, CouldNotAsk, ExitCode, Failure, WrongUsage
from .paper import Paper, plain

Verb: TypeAlias = Callable[[Call], Answer]


def _inspect(call: Call) -> Answer:
    from .inspecting import inspect

    return inspect(call)


def _mint(call: Call) -> Answer:
    from .minting import mint

    return mint(call)


def _doctor(call: Call) -> Answer:
    from .doctoring import doctor

    return doctor(call)


def _revoke(call: Call) -> Answer:
    from .revoking import revoke

    return revoke(call)


def _status(call: Call) -> Answer:
    from .asking_status import status

    return status(call)


def _demo(call: Call) -> Answer:
    from .showing_demo import demo

    return demo(call)


_VERBS: Mapping[str, tuple[Verb, Callable[[argparse.ArgumentParser], None], str]] = {
    "inspect": (_inspect, arguments.add_inspect, "look into a token"),
    "mint": (_mint, arguments.add_mint, "make a token for trying things"),
    "doctor": (_doctor, arguments.add_doctor, "find out what is wrong with a setup"),
    "revoke": (_revoke, arguments.add_revoke, "revoke a token, a user or a tenant"),
    "status": (_status, arguments.add_status, "ask what is revoked"),
    "demo": (_demo, arguments.add_demo, "serve a page to try tokens on"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; without arguments of the caller's own, those of this process, which then ends."""
    code = _run(sys.argv[1:] if argv is None else argv)
    if argv is None:
        _leave(code)
    return code


def _run(argv: Sequence[str]) -> int:
    for output in (sys.stdout, sys.stderr):
        _spell_out(output)
    try:
        code = _answered(argv)
        _flush()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return ExitCode.PIPE_CLOSED
    except OSError as error:
        _forget_output()
        _complain(f"the output cannot be written: {error.strerror or type(error).__name__}")
        return ExitCode.BROKEN
    return code


def _answered(argv: Sequence[str]) -> int:
    wants_traceback = "--debug" in argv
    try:
        with listening() as heard:
            return _told(argv, heard)
    except SystemExit as end:  # argparse, once it has shown help or version
        return end.code if isinstance(end.code, int) else ExitCode.FINE
    except (KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        return _failed(error, with_traceback=wants_traceback)


def _told(argv: Sequence[str], heard: Heard) -> int:
    args = _parser().parse_args(argv)
    if getattr(args, "run", None) is None:
        raise WrongUsage(f"say what to do: {', '.join(_VERBS)}; try 'bearerguard --help'")
    verb: Verb = args.run
    try:
        answer = verb(Call(args, Paper.for_output(sys.stdout), heard))
    except SettingsError as error:
        raise WrongUsage(str(error)) from error
    except Unavailable as error:
        raise CouldNotAsk(_why(error, heard)) from error
    except OSError as error:
        # Not of the output, which is not written yet.
        raise Failure(f"{type(error).__name__}: {error.strerror or 'no reason given'}") from error
    _write(answer, as_json=args.json)
    return answer.code


def _parser() -> arguments.Parser:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("bearerguard")
    except PackageNotFoundError:
        installed = "(not installed)"
    return arguments.parser(installed, [(name, says, _added(run, add)) for name, (run, add, says) in _VERBS.items()])


def _added(run: Verb, add: Callable[[argparse.ArgumentParser], None]) -> Callable[[argparse.ArgumentParser], None]:
    def added(verb: argparse.ArgumentParser) -> None:
        add(verb)
        verb.set_defaults(run=run)

    return added


# --- What is written -------------------------------------------------------------------------------------------------


def _write(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer.facts))
        return
    for line in answer.aside:
        _say(f"note: {line}")
    if answer.text:
        print("\n".join(answer.text))


def _why(error: Unavailable, heard: Heard) -> str:
    """A failure, with what was heard of it last."""
    lines = [line for event in heard.since(0) if (line := line_of(event)) is not None]
    heard_of = f" ({plain(lines[-1].text)})" if lines else ""
    return f"{error.reason}: {error}{heard_of}; 'bearerguard doctor' with the same options may know why"


def _failed(error: Exception, *, with_traceback: bool) -> int:
    if with_traceback:
        with suppress(OSError, AttributeError):
            traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, Failure):
        _complain(str(error))
        return error.code
    # What it says may hold what was given.
    _complain(f"{type(error).__name__}: this is a mistake of bearerguard's own; --debug shows where")
    return ExitCode.BROKEN


def _complain(text: str) -> None:
    _say(f"bearerguard: {' '.join(text.split())}")


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_output() -> None:
    """Python would try once more to write what is left when it ends, and say that it could not."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(code: int) -> None:
    """End the process, also where the user's own code has left threads behind that would hold it up."""
    others = [each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon]
    if others:
        for output in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                output.flush()
        os._exit(code)
    sys.exit(code)


def _spell_out(output: IO[Any] | None) -> None:
    """Have letters spelt out that an output cannot write."""
    reconfigure = getattr(output, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
