"""What a device or a home does that is unlike itself: a pure fold over its closed quarter-hours."""
