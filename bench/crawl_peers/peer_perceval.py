"""perceval: issues and merge requests, their notes in them, one project after the other."""

from urllib.parse import quote

from lists import Rows, projects, wanted
from perceval.backends.core.gitlab import GitLab

CATEGORIES = {"issues": "issue", "merge_requests": "merge_request"}

asked = wanted()
rows = Rows(asked)


# Its user would have to write down the projects by hand.
for project in projects(asked):
    owner, _, repository = project["path_with_namespace"].rpartition("/")
    backend = GitLab(
        owner=quote(owner, safe=""),
        repository=repository,
        api_token=asked.token,
        base_url=asked.url,
        sleep_for_rate=True,
    )
    for name, category in CATEGORIES.items():
        if name in asked.lists:
            for item in backend.fetch(category=category):
                rows.write(name, [item["data"]])
rows.close()
