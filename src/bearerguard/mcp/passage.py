"""One HTTP request to an MCP server: what its tools may refuse, and which answer leaves in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mcp.shared.exceptions import MCPError
from starlette.types import Message, Send

from ..access import Access, Door
from ..errors import AuthError, Unavailable
from .messages import says_nothing_yet, tells_an_error
from .refusals import mcp_error


class Passage:
    """What stands between the SDK and one request, and what guards below ask of the door.

    A tool runs when the head of its answer has left the SDK. So the head is held back until the first word of the
    answer, which is the error if a guard refused, and the refusal takes its place: 401, 403 or 503.
    """

    def __init__(
        self,
        door: Door,
        send: Send,
        *,
        is_message: bool,
        dress: Callable[[AuthError | Unavailable, tuple[str, ...]], None],
        refuse: Callable[[AuthError | Unavailable], Awaitable[None]],
        hear_head: Callable[[Message], None],
    ) -> None:
        self._door = door
        self._send = send
        self._is_message = is_message
        self._dress = dress
        self._refuse = refuse
        self._hear_head = hear_head
        self._held: list[Message] = []
        self._refusal: AuthError | Unavailable | None = None
        self._is_replaced = False

    # --- What guards ask

    @property
    def kinds_must_be_named(self) -> bool:
        """Whether a guard must say which kind of token it means."""
        return self._door.kinds_must_be_named

    def kinds_of_shape(self, shape: type[object]) -> frozenset[str]:
        """The names of the kinds of token whose claims are of this TypedDict."""
        return self._door.kinds_of_shape(shape)

    def raised(self, error: AuthError | Unavailable, scopes: tuple[str, ...] = ()) -> Exception:
        """An error that the SDK answers a call with, where it is too late for a refusal of the request."""
        if isinstance(error, MCPError):
            return error
        if not error.is_dressed:
            self._dress(error, scopes)
        if not self._is_message:
            return self._door.raised(error, scopes)
        self._refusal = error
        return mcp_error(error)

    def spend(self, access: Access) -> None:
        """Claim the one-time token, blocking."""
        self._door.spend(access)

    async def aspend(self, access: Access) -> None:
        """Claim the one-time token."""
        await self._door.aspend(access)

    # --- What the SDK answers

    async def send(self, message: Message) -> None:
        """Pass a message on, or hold it back, or refuse in its place."""
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            self._hear_head(message)
            if self._is_message:
                self._held.append(message)
                return
        if self._held and message["type"] == "http.response.body":
            if message.get("more_body", False) and says_nothing_yet(message.get("body", b"")):
                self._held.append(message)
                return
            if self._refusal is not None and tells_an_error(message.get("body", b"")):
                self._is_replaced = True
                await self._refuse(self._refusal)
                return
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        held, self._held = self._held, []
        for earlier in held:
            await self._send(earlier)
        await self._send(message)
