"""Use cases of insight-service."""
