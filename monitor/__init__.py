"""Awoooi Monitor: an infrastructure monitoring server in one Python program."""

__version__ = "0.1.0"
