"""What this server may connect to: names, addresses and schemes, judged where it connects."""
