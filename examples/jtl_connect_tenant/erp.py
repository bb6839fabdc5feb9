"""JTL's ERP, which the app calls in its own name, for one tenant at a time."""

from typing import Any

import httpx

FIRST_ITEMS = "{ QueryItems(first: 5) { nodes { sku } } }"


class ErpFailed(Exception):
    """The ERP gave no answer that we can use."""


class Erp:
    """The GraphQL API of the ERP.

    `auth` puts the app's access token into each request. Where the ERP answers 401, it gets another token and sends the
    request once more; what comes back then is final.
    """

    def __init__(self, url: str, auth: httpx.Auth) -> None:
        self._client = httpx.AsyncClient(base_url=url, auth=auth, timeout=5)

    async def skus(self, tenant_id: str) -> list[str]:
        """The first few items of a tenant. The id must come out of a verified token: the ERP believes us."""
        data = await self._ask(FIRST_ITEMS, tenant_id)
        try:
            return [node["sku"] for node in data["QueryItems"]["nodes"]]
        except (LookupError, TypeError) as error:
            raise ErpFailed("the ERP's answer has another shape") from error

    async def _ask(self, query: str, tenant_id: str) -> Any:
        try:
            answer = await self._client.post(
                "/erp/v2/graphql", json={"query": query}, headers={"X-Tenant-ID": tenant_id}
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ErpFailed("the ERP could not be asked") from error
        try:
            return answer.json()["data"]
        except (ValueError, LookupError, TypeError) as error:
            raise ErpFailed("the ERP's answer is none of GraphQL") from error

    async def aclose(self) -> None:
        """Close the connections to the ERP."""
        await self._client.aclose()
