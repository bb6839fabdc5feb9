"""Who calls, in the SDK's own words."""

from __future__ import annotations

from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic import Field

from ..asgi.users import VerifiedUser
from ..claims import Claims


class VerifiedAccessToken(AccessToken):
    """What the SDK's `get_access_token()` answers in a tool; its repr shows neither token nor claims."""

    token: str = Field(repr=False)
    claims: dict[str, Any] | None = Field(default=None, repr=False)


class McpUser(VerifiedUser, AuthenticatedUser):
    """`request.user` behind the door of an MCP server: ours and the SDK's in one."""

    def __init__(self, claims: Claims, token: str, resource: str | None) -> None:
        super().__init__(claims)
        self.access_token: VerifiedAccessToken = access_token(claims, token, resource)
        self.scopes: list[str] = self.access_token.scopes


def access_token(claims: Claims, token: str, resource: str | None) -> VerifiedAccessToken:
    """The token in the SDK's words; without a `sub`, its subject is the user or the tenant."""
    end = claims.expires_at
    return VerifiedAccessToken(
        token=token,
        client_id=claims.client_id or "",
        scopes=sorted(claims.scopes),
        expires_at=None if end is None else int(end),
        resource=resource,
        subject=claims.subject or claims.user or claims.tenant,
        claims=claims.to_dict(),
    )
