"""What usage-service knows: readings, how energy is derived from them, and when use is too high. Pure data and functions."""
