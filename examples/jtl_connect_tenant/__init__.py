"""A JTL app that tenants connect to: see README.md beside this file."""
