"""Keys: the secrets and public keys that signatures are checked with."""

from .sources import JwksKeys, KeySource, SharedSecrets, StaticKeys, TokenSource

__all__ = ["JwksKeys", "KeySource", "SharedSecrets", "StaticKeys", "TokenSource"]
