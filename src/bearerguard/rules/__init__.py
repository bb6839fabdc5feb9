"""The deciding: pure functions of their arguments and of `now`."""
