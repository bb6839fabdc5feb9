"""`python -m bearerguard` is the command `bearerguard`."""

from .cli import main

if __name__ == "__main__":
    main()
