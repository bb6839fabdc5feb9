"""`demo`: an app, a provider and a page to try tokens on."""

from __future__ import annotations

from importlib import import_module

from .call import Call
from .outcomes import Answer, ExitCode


def demo(call: Call) -> Answer:
    """Serve the demo until it is interrupted."""
    serve = import_module("..demo", __package__).serve
    serve(call.args.host, call.args.port, open_browser=call.args.open)
    return Answer(ExitCode.FINE, {}, ())
