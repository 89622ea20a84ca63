"""Event logs: what must not be lost, in one order."""
