"""A process without the secrets that revokes what it is told to, one line for each, and says how that went."""

from __future__ import annotations

import json
import sys

from bearerguard import Denylist, Unavailable

from .tokens import AUTHORITY, LONGEST_LIFE

DONE, UNKNOWN = "done", "unknown"


def main(store: str) -> None:
    """Read orders until there are no more."""
    denylist = Denylist(store, authority=AUTHORITY, horizon=LONGEST_LIFE)
    for line in sys.stdin:
        order = json.loads(line)
        until = {"until": order["until"]} if order["what"] == "id" else {}
        try:
            getattr(denylist, f"revoke_{order['what']}")(order["name"], **until)
        except Unavailable:
            print(UNKNOWN, flush=True)
        else:
            print(DONE, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
