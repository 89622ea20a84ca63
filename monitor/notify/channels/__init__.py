"""Channels: each carries a notification to one receiver, and says what came of it."""
