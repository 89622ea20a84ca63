"""Out: what was accepted goes on to whoever takes remote write, from a queue on disk."""
