"""Adapters: one file per technology, named after it."""
