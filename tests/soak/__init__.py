"""A fleet under traffic while everything around it breaks, and an oracle that knows what each answer may be.

python -m tests.soak --seconds 60
"""
