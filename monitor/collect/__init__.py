"""This machine, one subject a file, and the runner that guards them."""
