"""Energy Tracker: collects the energy use of devices, alerts on it and explains it."""

__version__ = "0.1.0"
