"""Scores any series of instants and values, point by point: how seldom something as strange was seen in it before.

`detector` takes the points, `signals` says in which ways a point can be strange, `seasons` what is usual at this time
of the day or week, `rarity` how seldom a strength is reached. Everything is causal, streaming and of bounded size.
"""
