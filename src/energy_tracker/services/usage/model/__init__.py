"""What usage-service knows: readings, how energy is derived from them, when use is too high. Pure."""
