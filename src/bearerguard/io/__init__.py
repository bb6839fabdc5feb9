"""Outbound HTTP, and work that is done once for many callers. Only this package imports httpx."""
