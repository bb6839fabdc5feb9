"""The rows with real servers, as short as they can be: what is counted is right, and nobody is measured by mistake."""

from __future__ import annotations

import pytest

from . import in_flight
from .harness import BARE, OURS
from .in_flight import CHECKS, EXISTS, ONE_MGET, TASKS
from .load import LoadError, requests_per_second
from .redis_rows import BY_CLIENT, BY_URL
from .servers import SERVERS, Server
from .tokens import shared_secret

every_server = pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)


def test_counts_what_redis_is_sent_for_checks_in_flight() -> None:
    (result,) = in_flight.measure([TASKS], rounds=2)
    commands = {one.contestant: one.commands for one in result.figures}
    assert (result.keys, commands) == (4, {EXISTS: CHECKS, ONE_MGET: 1, BY_URL: 1, BY_CLIENT: 1})


@every_server
def test_loads_a_server_with_one_request_per_token(server: Server) -> None:
    token = shared_secret().token()
    with server.starting(OURS) as port:
        assert requests_per_second(port, [token] * 20, server.body) > 0
        with pytest.raises(LoadError):
            requests_per_second(port, [token, f"{token}x"], server.body)


def test_a_row_names_its_server() -> None:
    assert [one.name for one in SERVERS] == ["uvicorn", "gunicorn"]
    assert all(one.contestants[0] == BARE and set(one.contestants) <= one.apps.keys() for one in SERVERS)
