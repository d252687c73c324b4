"""What comes next: the hours ahead with quantiles, the use at the end of a month, and how good past forecasts were.

Pure and causal: what is returned follows from the stored hours before the moment of the forecast and from nothing else.
Nothing is trained beforehand; what is learned (`learning.Learned`) is made anew from the home's own history by
`day_ahead.learn_from_history`.
"""
