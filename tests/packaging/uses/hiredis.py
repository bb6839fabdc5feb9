"""What works with the extra `hiredis`: redis-py reads with it, and revocation and one-time use are as without it.

The server is named on the command line.
"""

from __future__ import annotations

import asyncio
import sys

import redis.connection

from bearerguard import TokenRevoked, single_use
from bearerguard.wsgi import SessionTokenMiddleware
from tests.packaging.uses.asking import TENANT, answer_of_wsgi, session_token, session_verifier

(SERVER,) = sys.argv[1:]


async def verifies_and_revokes() -> None:
    async with session_verifier(SERVER) as verifier:
        token = session_token()
        assert (await verifier.averify(token)).tenant == TENANT
        await verifier.denylist.arevoke_tenant(TENANT)
        try:
            await verifier.averify(token)
        except TokenRevoked:
            return
        raise AssertionError("a revoked token was accepted")


@single_use
def view() -> bytes:
    return b"done"


def app(_, start_response):  # type: ignore[no-untyped-def]
    done = view()
    start_response("200 OK", [])
    return [done]


def takes_a_token_once() -> None:
    with session_verifier(SERVER) as verifier:
        guarded, token = SessionTokenMiddleware(app, verifier), session_token(storeId="str_2", sub="str_2")
        assert [answer_of_wsgi(guarded, token).status for _ in range(2)] == [200, 401]


if __name__ == "__main__":
    assert "hiredis" in redis.connection.DefaultParser.__name__.lower(), redis.connection.DefaultParser
    takes_a_token_once()
    asyncio.run(verifies_and_revokes())
