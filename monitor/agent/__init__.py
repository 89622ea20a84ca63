"""The agent: collects on its host, keeps what is not acknowledged, sends; and it is light."""
