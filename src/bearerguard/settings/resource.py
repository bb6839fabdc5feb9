"""What an application says of itself to clients that look for its authorization server (RFC 9728)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from ..checks import check_text, check_url
from ..errors import SettingsError
from .fields import a_tuple


@dataclass(frozen=True)
class ProtectedResource:
    """The application as clients know it: its URL, which is the audience of its tokens, and who issues them.

    ```python
    ProtectedResource(resource="https://orders.example.com", scopes=("read:orders", "write:orders"))
    ```

    Given to a door as `resource=`, it is served as metadata at the well-known path, and every challenge points there.
    `authorization_servers` are the issuers of the verifier; name them only to have that checked.
    """

    _: KW_ONLY
    resource: str
    authorization_servers: Sequence[str] | None = None
    scopes: Sequence[str] = ()
    name: str | None = None
    documentation: str | None = None

    def __post_init__(self) -> None:
        check_url("resource", self.resource)
        if "?" in self.resource or "#" in self.resource:
            raise SettingsError("resource has a query or fragment; write it as in 'https://orders.example.com/api'")
        put = object.__setattr__
        put(self, "scopes", a_tuple("scopes", self.scopes))
        if self.authorization_servers is not None:
            put(self, "authorization_servers", a_tuple("authorization_servers", self.authorization_servers))
            for server in self.authorization_servers:
                check_url("an authorization server", server)
        for scope in self.scopes:
            check_text("a scope", scope)
        if self.name is not None:
            check_text("name", self.name)
        if self.documentation is not None:
            check_url("documentation", self.documentation)
