"""What works with no extra: verifying, both doors, revoking, keys of every sort; and nothing is loaded in vain."""

from __future__ import annotations

import sys


def loads_nothing_but_ours_and_pythons() -> None:
    """Before anything else in here has loaded more."""
    before = {*sys.modules}
    import bearerguard

    loaded = {name.partition(".")[0] for name in {*sys.modules} - before}
    assert loaded <= {*sys.stdlib_module_names, "bearerguard"}, loaded
    assert bearerguard.MemoryStore().policy.on_failure == "closed"


def verifies_and_revokes() -> None:
    from bearerguard import InvalidToken, TokenRevoked
    from tests.packaging.uses.asking import TENANT, session_token, session_verifier

    with session_verifier() as verifier:
        token = session_token()
        assert verifier.verify(token).tenant == TENANT
        assert refusal(InvalidToken, lambda: verifier.verify(token[:-4] + "AAAA"))
        verifier.denylist.revoke_tenant(TENANT)
        assert refusal(TokenRevoked, lambda: verifier.verify(token))


def stands_before_asgi_applications() -> None:
    from bearerguard import current_claims
    from bearerguard.asgi import SessionTokenMiddleware
    from tests.packaging.uses.asking import TENANT, answer_of_asgi, session_token, session_verifier

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": current_claims().require_tenant().encode()})

    guarded = SessionTokenMiddleware(app, session_verifier())
    assert answer_of_asgi(guarded, None).status == 401
    assert answer_of_asgi(guarded, session_token()).body == TENANT.encode()


def stands_before_wsgi_applications() -> None:
    from bearerguard import current_claims
    from bearerguard.wsgi import SessionTokenMiddleware
    from tests.packaging.uses.asking import TENANT, answer_of_wsgi, session_token, session_verifier

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", [])
        return [current_claims().require_tenant().encode()]

    guarded = SessionTokenMiddleware(app, session_verifier())
    assert answer_of_wsgi(guarded, None).status == 401
    assert answer_of_wsgi(guarded, session_token()).body == TENANT.encode()


def verifies_with_public_keys() -> None:
    """For which PyJWT needs cryptography."""
    import time

    import jwt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bearerguard import SignedTokens, StaticKeys, Verifier

    key = Ed25519PrivateKey.generate()
    jwk = jwt.get_algorithm_by_name("EdDSA").to_jwk(key.public_key(), as_dict=True)
    kind = SignedTokens(keys=StaticKeys(jwk), algorithms=["EdDSA"], issuer="https://id.example.com", audience="ours")
    claims = {"iss": "https://id.example.com", "aud": "ours", "exp": time.time() + 60}
    assert Verifier(kind).verify(jwt.encode(claims, key, "EdDSA")).issuer == "https://id.example.com"


def says_503_where_nobody_answers() -> None:
    """With redis-py and httpx, for nobody listens on port 1."""
    from bearerguard import ClientCredentials, ProviderUnavailable, StoreUnavailable
    from tests.packaging.uses.asking import session_token, session_verifier

    with session_verifier("redis://127.0.0.1:1/0") as verifier:
        assert refusal(StoreUnavailable, lambda: verifier.verify(session_token()))
    nobody = "http://127.0.0.1:1/"
    credentials = ClientCredentials(client_id="ours", client_secret="a secret", token_url=nobody, origins={nobody[:-1]})
    assert refusal(ProviderUnavailable, credentials.token)


def mints_for_the_tests_of_apps() -> None:
    """And without pytest."""
    from bearerguard.testing import authenticated_as, mint
    from tests.packaging.uses.asking import session_verifier

    with session_verifier() as verifier:
        assert verifier.verify(mint(verifier, tenant="str_2")).tenant == "str_2"
        with authenticated_as(verifier, tenant="str_3") as claims:
            assert claims.tenant == "str_3"


def refusal(expected, asked) -> bool:  # type: ignore[no-untyped-def]
    """Whether that is refused as expected."""
    try:
        asked()
    except expected:
        return True
    return False


if __name__ == "__main__":
    loads_nothing_but_ours_and_pythons()
    verifies_and_revokes()
    stands_before_asgi_applications()
    stands_before_wsgi_applications()
    verifies_with_public_keys()
    says_503_where_nobody_answers()
    mints_for_the_tests_of_apps()
