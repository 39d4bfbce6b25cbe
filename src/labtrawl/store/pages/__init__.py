"""What the website reads: page queries in SQLAlchemy Core, plain functions of a connection.

Keyset paging only, never OFFSET; counts stop at a limit and say so. For the website alone.
"""
