"""Redis and Valkey as the store: one server, a Sentinel fleet or a Cluster, from blocking code and from event loops."""

from .store import RedisStore

__all__ = ["RedisStore"]
