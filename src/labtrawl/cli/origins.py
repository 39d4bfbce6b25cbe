"""From the settings of an instance to the door that leads there, and to its OAuth application."""

from labtrawl import __version__, logs
from labtrawl.config import Instance, Settings
from labtrawl.errors import ConfigError
from labtrawl.gitlab.oauth import Application
from labtrawl.http import Origin
from labtrawl.store.secrets import KeyRing, client_secret_place


def http_to(instance: Instance) -> Origin:
    """Return the origin that an operator configured."""
    return Origin(instance.url, instance.ca_file, instance.proxy, instance.address_allow)


def user_agent(settings: Settings) -> str:
    """Return how we introduce ourselves: GitLab's administrators can find out whom to ask."""
    address = settings.website.public_url.rstrip("/")
    where = f"{address}/about" if address else ""
    return agent_of("; ".join(each for each in (where, settings.contact) if each))


def agent_of(contact: str) -> str:
    """Return the User-Agent with a contact, or without where there is none."""
    return f"labtrawl/{__version__}" + (f" (+{contact})" if contact else "")


def application_of(instance: Instance, ring: KeyRing, redirect_uri: str = "") -> Application:
    """Return labtrawl's application at an instance; ConfigError where there is none.

    `redirect_uri` takes the place of the settings' one: the website has one of its own.
    """
    returns_to = redirect_uri or instance.redirect_uri
    if not (instance.client_id and returns_to):
        raise ConfigError(
            f"the instance {instance.name!r} has no client_id and redirect_uri: sign in with "
            "labtrawl init --oauth"
        )
    secret = None
    if instance.client_secret:
        secret = ring().decrypt(instance.client_secret, client_secret_place(instance.url))
        logs.conceal(secret)
    return Application(instance.client_id, returns_to, secret)
