"""What every SQLite file of ours needs: a safe connection, transactions, a writer that groups.

It knows no table, no event and no series; the rooms `log` and `store` each own their file.
"""
