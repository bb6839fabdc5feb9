"""Watches an open WebSocket: closes it when its token ends, or is found revoked."""

from __future__ import annotations

from .. import sinks
from ..errors import Unavailable
from ..events import WebSocketClosed
from .watch import Cause, Message, Surprised, Watch


class WebSocketWatch(Watch):
    """Stands between an application and its WebSocket."""

    what = "WebSocket"

    def _ends(self, message: Message) -> bool:
        return message["type"] in ("websocket.disconnect", "websocket.close")

    def _disconnect(self) -> Message:
        return {"type": "websocket.disconnect", "code": _code(self._cut.result())}

    def _tell(self, cause: Cause) -> None:
        sinks.tell(WebSocketClosed(code=_code(cause), reason=cause.reason))

    async def _say_goodbye(self, cause: Cause) -> None:
        await self._send_to_server({"type": "websocket.close", "code": _code(cause), "reason": cause.error})


def _code(cause: Cause) -> int:
    """RFC 6455 and its registry: 1008 for a policy that was broken, 1011 for our own fault, 1013 to try again later."""
    if isinstance(cause, Surprised):
        return 1011
    return 1013 if isinstance(cause, Unavailable) else 1008
