"""Measurements: what this program costs, beside its peers, in one run."""
