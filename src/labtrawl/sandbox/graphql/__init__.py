"""The look-alike's ``/api/graphql``: a subset of GitLab's schema over the same world as REST.

Entered by the app alone, through `Door`. The schemas are cut from real ones by
``scripts/cut_graphql_schema.py``; graphql-core parses, validates and executes.
"""

from labtrawl.sandbox.graphql.door import PATH, Door

__all__ = ["PATH", "Door"]
