"""Certificates: the server's own authority and certificate, or the operator's."""
