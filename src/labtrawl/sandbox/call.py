"""What a route's function is handed: the request, who asks, and the shelf of lists.

Entered by the routes. Finds the group or project a path names and refuses as GitLab does.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from labtrawl.sandbox.access import NO_GROUP, NO_PROJECT, Access, Viewer
from labtrawl.sandbox.model import Account, Group, Project, User
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.wire import Refused, Request, refusal


@dataclass(frozen=True, slots=True)
class Profile:
    """The GitLab the look-alike plays."""

    version: str = "19.3.0-ee"
    enterprise: bool = True

    def at_least(self, major: int, minor: int) -> bool:
        """True if the version played is this one or a later one."""
        numbers = self.version.split("-")[0].split(".")
        return (int(numbers[0]), int(numbers[1])) >= (major, minor)


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a route."""

    request: Request
    viewer: Viewer
    shelf: Shelf
    profile: Profile
    short_pages: bool = False

    @property
    def access(self) -> Access:
        """The world's places and rules."""
        return self.shelf.access

    def me(self) -> tuple[User, Account]:
        """The signed-in user and the account. Raises Refused (401) for an anonymous caller."""
        if self.viewer.user is None or self.viewer.account is None:
            raise Refused(401, {"message": "401 Unauthorized"})
        return self.viewer.user, self.viewer.account

    def word(self, index: int) -> str:
        """The path's segment at `index`, counted from after ``/api/v4``."""
        return self.request.segments[index]

    def place_number(self, index: int) -> int:
        """A whole number in the path. Refuses another text: 400 from GitLab 19.3 on, before 404."""
        try:
            return int(self.word(index))
        except ValueError:
            if self.profile.at_least(19, 3):
                raise Refused(400, {"error": "id is invalid"}) from None
            raise Refused(404, {"message": "404 Not found"}) from None

    def group(self) -> Group:
        """The group that the path names by id or encoded path; refuses as GitLab does."""
        text = self.word(1)
        access = self.access
        found = (
            access.groups.get(int(text))
            if text.isdecimal()
            else access.groups_by_path.get(text.lower())
        )
        if found is None:
            raise refusal(NO_GROUP)
        denied = access.gate_group(self.viewer, found)
        if denied:
            raise refusal(denied)
        return found

    def project(self, resource: str = "project") -> Project:
        """The project that the path names, if the viewer may list `resource` of it.

        A former path answers 301 with the address by id, as GitLab does for a renamed project.
        """
        text = self.word(1)
        access = self.access
        found = (
            access.projects.get(int(text))
            if text.isdecimal()
            else access.projects_by_path.get(text.lower())
        )
        if found is None:
            self._redirect(text)
            raise refusal(NO_PROJECT)
        denied = access.gate_resource(self.viewer, found, resource)
        if denied:
            raise refusal(denied)
        return found

    def _redirect(self, text: str) -> None:
        moved = self.access.moved.get(text.lower())
        if moved is None or self.access.gate_project(self.viewer, moved):
            return
        rest = "/".join(("projects", str(moved.id), *self.request.segments[2:]))
        query = f"?{urlencode(self.request.query)}" if self.request.query else ""
        location = f"{self.shelf.base}/api/v4/{rest}{query}"
        body = {"message": "Moved Permanently"}
        raise Refused(301, body, [(b"location", location.encode())])
