"""The command `bearerguard`: looks into tokens, mints some for tests, revokes, and finds what is wrong with a setup."""

from .command import main

__all__ = ["main"]
