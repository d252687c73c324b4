"""The labelled bench of the anomaly detector."""
