"""Who am I, and what is this: version, user and token.

Entered by `routes`.
"""

from labtrawl.sandbox import entities, entities_projects
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.instants import normal_text
from labtrawl.sandbox.wire import Refused, Reply, json_reply


def version(call: Call) -> Reply:
    """``GET /version`` and ``GET /metadata``."""
    call.me()
    return json_reply(
        {
            "version": call.profile.version,
            "revision": "9d2f2ff1c0e",
            "kas": {
                "enabled": False,
                "externalUrl": None,
                "externalK8sProxyUrl": None,
                "version": None,
            },
            "enterprise": call.profile.enterprise,
        }
    )


def user(call: Call) -> Reply:
    """``GET /user``."""
    me, _ = call.me()
    return json_reply(call.shelf.people.own(me, normal_text(call.shelf.world.ends_at)))


def other_user(call: Call) -> Reply:
    """``GET /users/:id``."""
    found = call.access.users.get(call.place_number(1))
    if found is None:
        raise Refused(404, {"message": "404 User Not Found"})
    return json_reply(call.shelf.people.profile(found))


def token(call: Call) -> Reply:
    """``GET /personal_access_tokens/self``."""
    _, account = call.me()
    return json_reply(entities.token_body(account, normal_text(call.shelf.world.ends_at)))


def associations(call: Call) -> Reply:
    """``GET /personal_access_tokens/self/associations``: groups and projects with levels."""
    call.me()
    viewer, shelf = call.viewer, call.shelf
    group_fields = ("id", "web_url", "name", "parent_id", "organization_id", "visibility")
    groups = [
        {key: body[key] for key in group_fields} | {"access_levels": viewer.group_level(group)}
        for group in shelf.world.groups
        if viewer.group_level(group)
        for body in [entities.group_body(shelf.base, group)]
    ]
    projects = [_association(call, row.item.id) for row in shelf.projects(viewer).rows]
    return json_reply({"groups": groups, "projects": [body for body in projects if body]})


def _association(call: Call, project_id: int) -> entities.Body | None:
    project = call.access.projects[project_id]
    level = call.viewer.level(project)
    if not level:
        return None
    group = call.access.groups.get(project.namespace_id)
    inherited = call.viewer.group_levels.get(project.namespace_id)
    body = entities_projects.project_simple(call.shelf.base, project, group)
    fields = ("id", "description", "name", "name_with_namespace", "path", "path_with_namespace")
    more = ("created_at", "visibility", "web_url", "namespace")
    return {key: body[key] for key in fields + more} | {
        "access_levels": {
            "project_access_level": None if inherited == level else level,
            "group_access_level": inherited,
        }
    }


TABLE = {
    "version": version,
    "metadata": version,
    "user": user,
    "users/:id": other_user,
    "personal_access_tokens/self": token,
    "personal_access_tokens/self/associations": associations,
}
