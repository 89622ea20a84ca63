"""Rules: what is watched, how it is judged over the fleet, and how a file writes it.  Pure."""
