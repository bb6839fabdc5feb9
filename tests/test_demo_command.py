"""`python -m bearerguard.demo`, as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from bearerguard.demo.__main__ import main

PATIENCE_SECONDS = 30


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Sequence[str]]]:
    """The demo as a process, and the lines it says until it can be asked."""
    command = [sys.executable, "-m", "bearerguard.demo", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline()]
            if arguments:
                lines.append(process.stdout.readline())
            yield process, lines
        finally:
            process.kill()


def test_serves_until_ctrl_c() -> None:
    with started() as (process, (line,)):
        found = re.fullmatch(r"The demo is at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
        assert found
        with urllib.request.urlopen(found[1], timeout=PATIENCE_SECONDS) as page:
            assert b"<title>bearerguard demo</title>" in page.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, out, err) == (0, "", "")


def test_warns_where_others_can_reach_it_and_ends_when_it_is_told_to() -> None:
    with started("--host", "0.0.0.0", "--name", "demo.example") as (process, (line, warning)):
        assert "http://0.0.0.0:" in line
        assert "it listens on more than loopback" in warning
        port = int(re.findall(r":(\d+)/", line)[0])
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/state", headers={"Host": "demo.example"})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, out, err) == (0, "", "")


def test_says_in_one_line_that_the_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"nobody can listen on 127\.0\.0\.1 port {port} \(.*\); give another port, .*\n", err)
