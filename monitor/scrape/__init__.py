"""Polling: agents that listen, node_exporter, and whatever else speaks Prometheus' text."""
