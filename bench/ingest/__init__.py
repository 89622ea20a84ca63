"""What it costs to take in what hosts send, in every form, and beside two other receivers."""
