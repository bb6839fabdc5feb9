"""The tests' own servers do what the tests take for granted."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.servers import (
    REDIS_URL_VARIABLE,
    AppServer,
    RedisServer,
    gunicorn_server,
    own_redis_names,
    redis_names,
    uvicorn_server,
    werkzeug_server,
)

GREETING = "GREETING"

WebServer = Callable[..., AbstractContextManager[AppServer]]
web_servers = pytest.mark.parametrize(
    ("serve", "app"),
    [
        pytest.param(uvicorn_server, "asgi_app", id="uvicorn"),
        pytest.param(gunicorn_server, "wsgi_app", id="gunicorn"),
        pytest.param(werkzeug_server, "wsgi_app", id="werkzeug"),
    ],
)


async def asgi_app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Say what the environment tells us to, and write it to the log."""
    if scope["type"] == "http":
        print("asked for", scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ[GREETING].encode()})


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same, for WSGI."""
    print("asked for", environ["PATH_INFO"])
    start_response("200 OK", [])
    return [os.environ[GREETING].encode()]


def _ends_within(seconds: float, *, pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def test_gives_a_server_that_answers(redis_server: RedisServer) -> None:
    assert redis_server.cli("SET", "key", "value")
    assert redis_server.cli("GET", "key") == b"value"


@pytest.mark.parametrize("name", ["first", "second"])
def test_gives_each_test_an_empty_database(redis_server: RedisServer, name: str) -> None:
    assert redis_server.cli("DBSIZE") == 0
    redis_server.cli("SET", name, "left behind")


def test_names_the_server_by_its_version(own_redis_server: RedisServer) -> None:
    product, version = own_redis_server.name.split()
    assert own_redis_server.cli("INFO", "server")[f"{product}_version"].startswith(f"{version}.")


def test_answers_on_the_unix_socket(own_redis_server: RedisServer) -> None:
    with redis.Redis.from_url(own_redis_server.unix_url) as client:
        assert client.ping()


def test_a_frozen_server_keeps_its_connections_and_says_nothing(own_redis_server: RedisServer) -> None:
    with socket.create_connection(("127.0.0.1", own_redis_server.port), timeout=0.05) as connection:
        own_redis_server.freeze()
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(64)
        own_redis_server.thaw()
        connection.settimeout(5)
        assert connection.recv(64) == b"+PONG\r\n"


def test_a_killed_server_refuses(own_redis_server: RedisServer) -> None:
    own_redis_server.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_redis_server.port), timeout=5)


def test_a_restarted_server_is_another_process_and_empty(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("SET", "key", "value")
    own_redis_server.cli("SAVE")
    before = (own_redis_server.port, own_redis_server.pid)
    own_redis_server.restart(empty=True)
    assert own_redis_server.port == before[0]
    assert own_redis_server.pid != before[1]
    assert own_redis_server.cli("DBSIZE") == 0


def test_a_restarted_server_can_come_back_with_its_last_snapshot(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("SET", "saved", "value")
    own_redis_server.cli("SAVE")
    own_redis_server.cli("SET", "lost", "value")
    own_redis_server.restart(empty=False)
    assert own_redis_server.cli("KEYS", "*") == [b"saved"]


def test_a_frozen_server_can_be_restarted(own_redis_server: RedisServer) -> None:
    own_redis_server.freeze()
    own_redis_server.restart()
    assert own_redis_server.cli("PING")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_servers_die_with_a_test_run_that_is_killed() -> None:
    if not own_redis_names():
        pytest.fail("no server to start")
    code = (
        "import sys; from tests.servers import open_redis, own_redis_names\n"
        "print(open_redis(own_redis_names()[0]).pid, flush=True); sys.stdin.read()"
    )
    with tempfile.TemporaryDirectory() as home:
        command, env = [sys.executable, "-c", code], {**os.environ, "TMPDIR": home}
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
            assert run.stdout is not None
            pidfd = os.pidfd_open(int(run.stdout.readline()))
            run.kill()
        try:
            assert _ends_within(5, pidfd=pidfd)
        finally:
            os.close(pidfd)


def test_the_environment_names_the_only_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REDIS_URL_VARIABLE, "redis://127.0.0.1:1/0")
    assert redis_names() == [REDIS_URL_VARIABLE]


def test_a_server_of_somebody_else_cannot_be_killed() -> None:
    with pytest.raises(RuntimeError, match=REDIS_URL_VARIABLE):
        RedisServer("given", "redis://127.0.0.1:1/0").kill()


@web_servers
def test_a_web_server_serves_the_app_and_keeps_its_log(serve: WebServer, app: str) -> None:
    with serve(f"tests.test_servers:{app}", env={GREETING: "hello"}) as server:
        assert server.log().count("asked for") == 0
        assert httpx.get(f"{server.url}/first", trust_env=False).text == "hello"
        assert "asked for /first" in server.log()


@web_servers
def test_a_web_server_imports_from_the_directory_it_is_given(serve: WebServer, app: str, tmp_path: Path) -> None:
    (tmp_path / "found_here.py").write_text(f"from tests.test_servers import {app}")
    env = {GREETING: "from there", "PYTHONPATH": str(Path(__file__).parent.parent)}
    with serve(f"found_here:{app}", env=env, cwd=tmp_path) as server:
        assert httpx.get(server.url, trust_env=False).text == "from there"


@pytest.mark.parametrize(
    ("serve", "app"),
    [
        pytest.param(uvicorn_server, "asgi_app", id="uvicorn"),
        pytest.param(gunicorn_server, "wsgi_app", id="gunicorn"),
    ],
)
def test_a_web_server_ends_with_all_its_workers(serve: WebServer, app: str) -> None:
    with serve(f"tests.test_servers:{app}", workers=2, env={GREETING: "hello"}) as server:
        assert server.stop() in (0, -signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)


@web_servers
def test_a_web_server_that_cannot_start_says_why(serve: WebServer, app: str) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"), serve(f"no_such_module:{app}"):
        pass
