"""The crawler: takes leases, reads GitLab page by page, writes segments, reports what it did.

It reaches neither the database nor the website; the socket is its only way in and out of the house.
"""
