"""The only door out: every byte that leaves the machine for a GitLab passes here.

One `Http` speaks to one origin and to nothing else, so a token cannot reach another host: paths are
relative to the origin, redirects are handed back as they are, the environment's proxies are not
read, and the name is resolved, checked and pinned by us. Answers come whole and under caps, or as an
error. The gitlab room and the cli use it; nothing else imports the HTTP library. What it answers and
raises never holds the value of a header that was sent.
"""

from labtrawl.http.addresses import AddressRefused
from labtrawl.http.door import Answer, Http, Resolve, open_http
from labtrawl.http.gate import Heard
from labtrawl.http.origin import Limits, Origin
from labtrawl.http.route import canonical_url

__all__ = [
    "AddressRefused",
    "Answer",
    "Heard",
    "Http",
    "Limits",
    "Origin",
    "Resolve",
    "canonical_url",
    "open_http",
]
