"""`demo`: an app, a provider and a page to try tokens on."""

from __future__ import annotations

from ..demo import serve
from .call import Call
from .outcomes import Answer, ExitCode


def demo(call: Call) -> Answer:
    """Serve the demo until it is interrupted."""
    serve(call.args.host, call.args.port, names=call.args.name, open_browser=call.args.open)
    return Answer(ExitCode.FINE, {}, ())
