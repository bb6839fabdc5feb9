"""The command itself: it finds the verb, writes what that found out, and ends with a code; never with a traceback."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from ..errors import SettingsError, Unavailable
from ..journal import line_of
from .arguments import Parser, parser
from .call import Call, Heard, listening
from .outcomes import Answer, CouldNotAsk, ExitCode, Failure, WrongUsage
from .paper import Paper, plain
from .verbs import VERBS, Run


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
    args = whole_parser().parse_args(argv)
    if getattr(args, "run", None) is None:
        raise WrongUsage(f"say what to do: {', '.join(verb.name for verb in VERBS)}; try 'bearerguard --help'")
    run: Run = args.run
    try:
        answer = run(Call(args, Paper.for_output(sys.stdout), heard))
    except SettingsError as error:
        raise WrongUsage(str(error)) from error
    except Unavailable as error:
        raise CouldNotAsk(_why(error, heard)) from error
    except OSError as error:
        # Not of the output, which is not written yet.
        raise Failure(f"{type(error).__name__}: {error.strerror or 'no reason given'}") from error
    _write(answer, as_json=args.json)
    return answer.code


def whole_parser() -> Parser:
    """What takes the command apart, with all its verbs."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("bearerguard")
    except PackageNotFoundError:
        installed = "(not installed)"
    whole = parser(installed)
    known = whole.add_subparsers(title="verbs", metavar="VERB", parser_class=type(whole))
    for verb in VERBS:
        one = known.add_parser(verb.name, help=verb.says)
        verb.add(one)
        one.set_defaults(run=verb.run)
    return whole


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
        print(plain(text, longest=None), file=sys.stderr)


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
