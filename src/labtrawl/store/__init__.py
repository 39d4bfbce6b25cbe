"""The database: jobs, areas, accounts, manifest, ledger, sessions. Only this room speaks SQL.

Everything that changes is a plain function of a connection, run by `Store.write` inside one
transaction; everything that reads is run by `Store.read` on a snapshot of its own.
"""
