"""labtrawl collects what an account may see on a GitLab into a dataset you can trust.

This package holds rooms, one idea each; a room imports only rooms below it
(docs/explanation/architecture.md). Everybody may read `__version__`; nothing else lives here.
"""

__version__ = "0.1.0"
