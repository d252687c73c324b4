"""What crosses a wire: events, topics and API bodies. Versioned data, no behaviour."""
