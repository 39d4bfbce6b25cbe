"""Nouns and rules of the field: areas, accounts, jobs, leases, records.

Standard library only; no await, no clock reading. Every room above may import from here.
"""
