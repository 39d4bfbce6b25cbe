"""Which groups and projects are added to those that an account is a member of."""

from collections.abc import Sequence

from labtrawl.errors import ConfigError

# How patterns say "all below"; a group that is named is taken with all below it anyway.
ALL_BELOW = "/*"
# No path of a group or project has any of these.
SIGNS = frozenset("*?[]")


def included(paths: Sequence[str], name: str = "scope.include") -> tuple[str, ...]:
    """Return the paths to ask GitLab for; `group/*` is the group with all below it.

    ConfigError for any other pattern, under the `name` of the setting or flag: GitLab shows no
    list of all that there is, so it is asked for one group or project by its path.
    """
    found = tuple(path.removesuffix(ALL_BELOW) for path in paths)
    for path in found:
        if SIGNS & set(path):
            raise ConfigError(
                f"{name}: {path!r} is a pattern, and GitLab finds a group or project by its path"
                " only; name a group, and all below it is taken (exclude takes patterns)"
            )
    return found
