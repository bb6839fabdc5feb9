"""For your own tests: tokens, a provider, and routes that are asked as somebody.

```python
token = mint(settings, tenant="str_1", scopes={"read:orders"})      # a token that the settings accept

with authenticated_as(verifier, tenant="str_1", scopes={"read:orders"}):
    assert client.get("/orders").status_code == 200
```

Nothing of the library imports this package, and no setting switches anything of it on.
"""

from .clock import Clock
from .keys import TestKeys
from .minting import mint
from .provider import FakeProvider
from .stand_in import authenticated_as

__all__ = ["Clock", "FakeProvider", "TestKeys", "authenticated_as", "mint"]
