"""The door for MCP servers made with the official Python SDK (mcp 2).

```python
app = server.streamable_http_app()
app.add_middleware(
    McpMiddleware,
    verifier=verifier,
    resource=ProtectedResource(resource="https://orders.example.com/mcp"),
    scopes=("orders:read",),
)
```

Guards stand below `@server.tool()`, and `current_claims()` is the caller's inside of tools.
"""

from ..extras import brought_by

with brought_by("mcp"):
    from .door import McpMiddleware
    from .users import McpUser, VerifiedAccessToken

__all__ = ["McpMiddleware", "McpUser", "VerifiedAccessToken"]
