"""What is revoked: written, and asked for, by hand."""
