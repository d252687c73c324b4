"""Business-free building blocks that every service may use."""
