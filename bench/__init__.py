"""Figures: how fast, how large, how soon. `python -m bench` takes them all; README.md says how to read them."""
