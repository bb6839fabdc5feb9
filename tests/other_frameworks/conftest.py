"""What every test of other frameworks has: the environment of the examples, and Django as its example configures it."""

from __future__ import annotations

import importlib
import os

from tests.minting import SECRET

os.environ["WHATALO_CLIENT_ID"] = "ours"
os.environ["WHATALO_CLIENT_SECRET"] = SECRET
os.environ.pop("BEARERGUARD_STORE", None)
# Django takes its settings once in a process.
importlib.import_module("examples.django_app")
