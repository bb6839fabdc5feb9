"""`python -m bearerguard.demo`: serves the demo until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import SettingsError
from .serving import LOOPBACK, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the demo; 0 at its end, 2 where it cannot be served."""
    parser = argparse.ArgumentParser(prog="python -m bearerguard.demo", description="Serve the demo on this machine.")
    parser.add_argument("--host", default=LOOPBACK, help="where to listen (default: %(default)s, this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0 is any that is free")
    parser.add_argument("--name", action="append", default=[], help="a further name by which this machine is asked")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    given = parser.parse_args(arguments)
    try:
        serve(given.host, given.port, names=given.name, open_browser=given.open)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
