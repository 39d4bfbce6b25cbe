"""Which resources a schedule has, by what the catalog says of each."""

from dataclasses import replace

from labtrawl.domain.visit import Schedule
from labtrawl.gitlab.catalog import RESOURCES, Resource

_WATCHES = tuple(resource for resource in RESOURCES if resource.watches)


def is_wanted(schedule: Schedule, resource: Resource) -> bool:
    """Say whether a resource is collected; some are only where somebody names them."""
    if resource.is_asked_for:
        return schedule.names(resource.name)
    return schedule.has(resource.watches or resource.name)


def with_watches(schedule: Schedule) -> Schedule:
    """Return a schedule that also has the lists that tell of changes in those that it has."""
    watches = [resource.name for resource in _WATCHES if schedule.has(resource.watches)]
    return replace(schedule, resources=(*schedule.resources, *watches))
