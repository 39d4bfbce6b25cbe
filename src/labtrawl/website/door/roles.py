"""As what somebody is let in who signed in with a GitLab: the settings say it, at each request."""

from labtrawl.store.sessions import Role
from labtrawl.website.given.site import Site

STUDY = "study"


def role_of(site: Site, identity: str) -> Role | None:
    """Return the role of INSTANCE:USER-ID, compared as it stands; None for who is not let in."""
    if identity in site.admins:
        return Role.ADMIN
    if identity in site.operators:
        return Role.OPERATOR
    return Role.PARTICIPANT if site.mode == STUDY else None
