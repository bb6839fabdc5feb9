"""A process with the proxy before Redis, which breaks as it is told to, one line for each order."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

from tests.fault_proxy import FaultProxy, flipped

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
EITHER = (b"", b"EVALSHA")

WAYS: Mapping[str, Callable[[FaultProxy, bytes], None]] = {
    "refuses": lambda proxy, _: proxy.refuse(),
    "resets new connections": lambda proxy, _: proxy.reset_new_connections(),
    "resets": lambda proxy, only: proxy.reset(only),
    "swallows everything": lambda proxy, only: proxy.black_hole(only),
    "delays answers": lambda proxy, only: proxy.delay(0.4, only),
    "delays commands": lambda proxy, only: proxy.delay(0.4, only, of="commands"),
    "drips": lambda proxy, only: proxy.drip(1, 0.05, only),
    "breaks answers off": lambda proxy, only: proxy.truncate(2, only),
    "spoils answers": lambda proxy, only: proxy.corrupt(flipped(), only),
    "says LOADING": lambda proxy, only: proxy.answer(LOADING, only),
    "loses answers": lambda proxy, only: proxy.lose_replies(only),
    "loses answers in silence": lambda proxy, only: proxy.lose_replies(only, then="silence"),
}
HEALS = "heals"


def main(upstream_port: int) -> None:
    """Say where it listens, and read orders until there are no more."""
    with FaultProxy(upstream_port) as proxy:
        print(proxy.url, flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            if order["way"] == HEALS:
                proxy.heal()
            else:
                WAYS[order["way"]](proxy, order["only"].encode())
            print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
