"""What the views of both apps answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from ..claims import Claims
from .hearing import view_is_reached


def about(what: str, claims: Claims | None) -> dict[str, Any]:
    """What a view says, and whose request it answers; the verdict is reached when a view says anything."""
    view_is_reached()
    if claims is None:
        return {"says": what}
    return {
        "says": what,
        "kind": claims.kind,
        "tenant": claims.tenant,
        "user": claims.user,
        "scopes": sorted(claims.scopes),
        "claims": claims.to_dict(),
    }


def json_response(body: Mapping[str, Any], status: int = 200) -> Response:
    """JSON, in ASCII."""
    return Response(json.dumps(body), status, content_type="application/json")
