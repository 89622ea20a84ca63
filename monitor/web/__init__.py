"""The server's face: edge, API, pages."""
