"""The server of the demo: a thread for each connection, quiet, and ended without leaving anything open."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ..checks import check_count
from ..errors import SettingsError
from .bridge import RAW_HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

SILENCE_SECONDS = 15


class _Handler(WSGIRequestHandler):
    """Reads requests, and hangs up on whoever says nothing."""

    timeout = SILENCE_SECONDS

    def version_string(self) -> str:
        """What it calls itself, without the versions of anything."""
        return "bearerguard"

    def make_environ(self) -> WSGIEnvironment:
        """The environ, and the headers as they came."""
        return {**super().make_environ(), RAW_HEADERS: self.headers.items()}

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: what is to be said of a request, bearerguard's own log says."""


class DemoServer(ThreadedWSGIServer):
    """Listens from the beginning, serves from `start` on, until it is closed."""

    daemon_threads = False

    def __init__(self, app: WSGIApplication, host: str, port: int) -> None:
        self._open: set[socket.socket] = set()
        with _listener(host, port) as listener:
            super().__init__(host, port, app, _Handler, fd=listener.fileno())
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="bearerguard demo", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def close(self) -> None:
        """Serve nobody any more; what is under way is cut off."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Wake those who wait for a silent client, so that their threads end now."""
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


def _listener(host: str, port: int) -> socket.socket:
    check_count("port", port, 0, 65_535)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(
            f"nobody can listen on {host} port {port} ({error.strerror}); give another port, or 0 for one that is free"
        ) from error
