"""Judges rules over the live state, on time, and tells the log what came of it."""
