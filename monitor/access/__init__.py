"""Who may come in: accounts and their sessions, tokens of machines, kept in the registry."""
