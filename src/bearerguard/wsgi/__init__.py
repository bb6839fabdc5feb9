"""The door for WSGI applications: Flask, and any other."""

from .answers import answer
from .door import BearerMiddleware, SessionTokenMiddleware

__all__ = ["BearerMiddleware", "SessionTokenMiddleware", "answer"]
