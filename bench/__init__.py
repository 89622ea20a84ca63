"""Measures, printed by `make bench`: what the program costs, beside what others cost."""
