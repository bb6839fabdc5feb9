"""What the page asks for besides the routes: tokens, revocations, and a store or a provider that stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from ..errors import REASONS, AuthError, SettingsError, Unavailable
from .advice import ADVICE
from .answers import json_response
from .fence import is_of_our_page
from .routes import described
from .world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MOST_BODY_BYTES = 64 * 1024
MOST_SECONDS = 40 * 86_400

Asked = Mapping[str, Any]


class Control:
    """The WSGI application below /api, which takes and gives JSON."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: Mapping[tuple[str, str], Callable[[Asked], Mapping[str, Any]]] = {
            ("GET", "/page"): self._page,
            ("GET", "/state"): self._state,
            ("POST", "/tokens"): self._mint,
            ("POST", "/revocations"): self._revoke,
            ("POST", "/provider"): self._provider,
            ("POST", "/store"): self._store,
            ("POST", "/clock"): self._clock,
            ("POST", "/start-over"): self._start_over,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        call = self._calls.get((request.method, request.path))
        if not is_of_our_page(request):
            return _wrong("this is for the demo's own page, and for programs that are no browsers", 403)
        if call is None:
            return _wrong("there is no such call", 404)
        try:
            return json_response(call(asked_by(request)))
        except SettingsError as error:
            return _wrong(str(error), 400)
        except (AuthError, Unavailable) as error:
            return json_response({"error": str(error), "reason": error.reason}, error.status)
        except HTTPException as error:
            return _wrong(error.name, error.code or 400)

    # --- What there is

    def _page(self, _: Asked) -> Mapping[str, Any]:
        reasons = {word: {"sentence": sentence, "advice": ADVICE[word]} for word, sentence in REASONS.items()}
        kinds = [
            {
                "name": sort.name,
                "label": sort.label,
                "preset": sort.preset,
                "tenant": sort.tenant,
                "tenant_claims": sorted(sort.elsewhere()),
                "opaque": sort.is_opaque,
            }
            for sort in self._world.sorts.values()
        ]
        return {"kinds": kinds, "routes": described(), "reasons": reasons, "state": self._state({})}

    def _state(self, _: Asked) -> Mapping[str, Any]:
        world = self._world
        return {
            "now": world.clock(),
            "ahead": world.clock.ahead,
            "provider": world.provider_is,
            "store": "stopped" if world.store.is_stopped else "answers",
        }

    # --- Tokens

    def _mint(self, asked: Asked) -> Mapping[str, Any]:
        sort = self._world.sort(asked.get("kind"))
        claims = asked.get("claims")
        if claims is None:
            elsewhere = sort.elsewhere() if asked.get("elsewhere") is True else {}
            claims = {
                **sort.sample(int(self._world.clock())),
                **elsewhere,
                **_object("changes", asked.get("changes", {})),
            }
        claims = _object("claims", claims)
        token = self._world.minted(sort, claims, by_a_stranger=asked.get("signed_by") == "stranger")
        return {"token": token, "kind": sort.name, "claims": claims}

    def _revoke(self, asked: Asked) -> Mapping[str, Any]:
        what, denylist = asked.get("what"), self._world.verifier.denylist
        if what == "token":
            denylist.revoke(self._world.claims_of(asked.get("token")))
            return {"revoked": "token"}
        authority = self._world.sort(asked.get("kind")).settings.vouched_by
        revoke = {"user": denylist.revoke_user, "tenant": denylist.revoke_tenant}.get(str(what))
        if revoke is None:
            raise SettingsError("what is to be revoked? a token, a user or a tenant")
        revoke(_text("name", asked.get("name")), issued_before=None, authority=authority)
        return {"revoked": what}

    # --- The world

    def _provider(self, asked: Asked) -> Mapping[str, Any]:
        self._world.let_provider_be(asked.get("mode"))
        return self._state({})

    def _store(self, asked: Asked) -> Mapping[str, Any]:
        mode = asked.get("mode")
        if mode not in ("answers", "stopped"):
            raise SettingsError("the store answers or is stopped")
        self._world.store.is_stopped = mode == "stopped"
        return self._state({})

    def _clock(self, asked: Asked) -> Mapping[str, Any]:
        seconds = asked.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MOST_SECONDS:
            raise SettingsError(f"seconds is a number above 0, and at most {MOST_SECONDS}")
        self._world.clock.let_pass(seconds)
        return self._state({})

    def _start_over(self, _: Asked) -> Mapping[str, Any]:
        self._world.start_over()
        return self._state({})


def asked_by(request: Request) -> Asked:
    """The JSON object that a request brings."""
    if request.method == "GET":
        return {}
    if request.mimetype != "application/json":
        raise SettingsError("send JSON, and say so: Content-Type: application/json")
    request.max_content_length = MOST_BODY_BYTES
    try:
        return _object("the body", json.loads(request.get_data(), parse_constant=_no_number))
    except (ValueError, RecursionError):
        raise SettingsError("the body is no JSON object") from None


def _no_number(text: str) -> float:
    raise ValueError(text)


def _object(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{name} is no JSON object")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{name} is no text")
    return value


def _wrong(what: str, status: int) -> Response:
    return json_response({"error": what}, status)
