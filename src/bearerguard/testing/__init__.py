"""For your own tests: tokens, a provider, and routes that are asked as somebody.

```python
token = mint(settings, tenant="str_1", scopes={"read:orders"})      # a token that the settings accept
```

Nothing of the library imports this package, and no setting switches anything of it on.
"""

from .clock import Clock
from .keys import TestKeys
from .minting import mint
from .provider import FakeProvider

__all__ = ["Clock", "FakeProvider", "TestKeys", "mint"]
