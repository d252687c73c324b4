"""The use cases of alert-service."""
