"""The door for ASGI applications: Starlette, FastAPI, and any other.

Do not put the door around an application whose CORS middleware stands inside: its 401s would carry no CORS headers.
Add the door first and CORS after it, so that CORS is the outer one.
"""

from .answers import answer
from .door import BearerMiddleware
from .one_sort import IntrospectionMiddleware, SessionTokenMiddleware
from .users import Granted, Nobody, VerifiedUser

__all__ = [
    "BearerMiddleware",
    "Granted",
    "IntrospectionMiddleware",
    "Nobody",
    "SessionTokenMiddleware",
    "VerifiedUser",
    "answer",
]
