"""Tells people of alerts: silences, routes and groups, and channels that carry the message."""
