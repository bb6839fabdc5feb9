"""The door for WSGI applications: Flask, and any other."""

from .answers import answer
from .door import BearerMiddleware
from .one_sort import IntrospectionMiddleware, SessionTokenMiddleware

__all__ = ["BearerMiddleware", "IntrospectionMiddleware", "SessionTokenMiddleware", "answer"]
