"""A page to try everything on: a provider, two guarded apps and a store, in one process of one machine.

```console
$ bearerguard demo
$ python -m bearerguard.demo --port 8000
```
"""

from .serving import Demo, serve

__all__ = ["Demo", "serve"]
