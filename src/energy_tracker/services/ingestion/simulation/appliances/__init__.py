"""Models of appliances: each a function of a day (its seed, weather and people) that gives power over time."""
