"""Readings on their way in: what is acceptable, and what makes two of them the same."""
