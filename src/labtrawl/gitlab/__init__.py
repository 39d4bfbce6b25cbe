"""GitLab as labtrawl reads it: the catalog of resources, one request path, paging, the probe.

The crawler and the cli enter here; nothing in this room knows the database or the dataset.
"""
