"""The demo as a whole: begun, served and ended."""

from __future__ import annotations

import signal
import threading
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ..sinks import add_sink
from ..testing import FakeProvider
from . import shop_asgi, shop_wsgi
from .bridge import AsgiBridge
from .clock import PassingTime
from .control import Control
from .fence import Fence
from .hearing import Ear, Heard, TimedAsgi, TimedWsgi
from .page_files import page_app
from .server import DemoServer
from .world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOOPBACK = "127.0.0.1"


class Demo:
    """The demo, which is served while it is entered.

    ```python
    with Demo(port=0) as demo:
        print(demo.url)
    ```
    """

    host: str
    port: int
    world: World

    def __init__(self, host: str = LOOPBACK, port: int = 8000, *, names: Iterable[str] = ()) -> None:
        self.host = host
        self.port = port
        self._names = frozenset(["localhost", host, *names])
        self._open = ExitStack()

    def __enter__(self) -> Demo:
        with ExitStack() as opening:
            self.world = opening.enter_context(_world())
            app = opening.enter_context(_whole_app(self.world))
            server = DemoServer(Fence(app, self._names, is_loopback=self.is_loopback), self.host, self.port)
            opening.callback(server.close)
            server.start()
            self.port = server.port
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(host: str = LOOPBACK, port: int = 8000, *, names: Iterable[str] = (), open_browser: bool = False) -> None:
    """Serve the demo until Ctrl-C or SIGTERM; SettingsError where nobody can listen there.

    It needs no Redis and no account. Its secrets are made up when it starts and are gone when it ends. `names` are
    further names under which this machine may be asked, besides numbers and `localhost`. Port 0 is any that is free.
    """
    with Demo(host, port, names=names) as demo, _ending() as ended:
        print(f"The demo is at {demo.url} (Ctrl-C ends it)", flush=True)
        if not demo.is_loopback:
            print("Everybody who can reach this machine can use it: it listens on more than loopback.", flush=True)
        if open_browser:
            webbrowser.open(demo.url)
        ended()


@contextmanager
def _world() -> Iterator[World]:
    clock = PassingTime()
    with FakeProvider(client_id="orders-api", tenant_claim="org", clock=clock).serve() as provider:
        provider.keys.jwks()  # made now, or else the first token to be verified would wait for it
        world = World(provider, clock)
        try:
            yield world
        finally:
            provider.recover()
            world.verifier.close()


@contextmanager
def _whole_app(world: World) -> Iterator[WSGIApplication]:
    """The page, its calls, and the two doors, each below a path of its own."""
    ear = Ear()
    stop_hearing = add_sink(ear)
    bridge = AsgiBridge(TimedAsgi(shop_asgi.guarded(world.verifier)))
    try:
        doors = {"/asgi": Heard(bridge, ear), "/wsgi": Heard(TimedWsgi(shop_wsgi.guarded(world.verifier)), ear)}
        yield DispatcherMiddleware(page_app, {**doors, "/api": Control(world)})
    finally:
        bridge.close()
        stop_hearing()


@contextmanager
def _ending() -> Iterator[Callable[[], object]]:
    """What waits until this process is asked to end, by a signal; outside the main thread, for ever."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.wait
        return
    former = {each: signal.signal(each, lambda *_: asked.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: _wait(asked)
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def _wait(asked: threading.Event) -> None:
    # In steps, because on Windows no signal is heard during an endless wait.
    while not asked.wait(0.5):
        pass
