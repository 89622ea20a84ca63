"""What our agent costs its host, beside four other programs, and how fast it catches up."""
