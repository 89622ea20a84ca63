"""Certificates: those that the server makes itself, and the operator's own.

It knows files, names and dates, and gives whoever listens a context to speak TLS with.  It knows
no connection, and nothing of who may come in.
"""
