"""From the settings of an instance to the door that leads there."""

from importlib.metadata import version

from labtrawl.config import Instance, Settings
from labtrawl.http import Origin


def http_to(instance: Instance) -> Origin:
    """Return the origin that an operator configured."""
    return Origin(instance.url, instance.ca_file, instance.proxy, instance.address_allow)


def user_agent(settings: Settings) -> str:
    """Return how we introduce ourselves: GitLab's administrators can find out whom to ask."""
    contact = f" (contact: {settings.contact})" if settings.contact else ""
    return f"labtrawl/{version('labtrawl')}{contact}"
