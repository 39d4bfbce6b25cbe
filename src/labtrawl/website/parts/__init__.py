"""What pages are made of: words, addresses, navigation, the types of a query, templates and assets.

Knows no request and no database. Every part of the website that shows something imports it.
"""
