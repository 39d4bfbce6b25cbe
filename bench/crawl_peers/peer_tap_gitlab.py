"""tap-gitlab (Singer, from PyPI): it must be told the projects, and knows some of the lists.

The address of GitLab's own site is fixed in its code, so it is led elsewhere here; its messages go
to a file as a Singer target would take them.
"""

import contextlib

import singer
import tap_gitlab
from lists import projects, wanted
from singer import metadata
from tap_gitlab.client import Client

STREAMS = {
    "issues": "issues",
    "commits": "commits",
    "branches": "branches",
    "milestones": "project_milestones",
}
START = "2000-01-01T00:00:00Z"

asked = wanted()


def catalog() -> singer.Catalog:
    whole = tap_gitlab.discover()
    chosen = {STREAMS[name] for name in asked.lists if name in STREAMS}
    for stream in whole.streams:
        if stream.tap_stream_id in chosen:
            fields = metadata.to_map(stream.metadata)
            for breadcrumb in fields:
                metadata.write(fields, breadcrumb, "selected", True)
            stream.metadata = metadata.to_list(fields)
    return whole


def main() -> None:
    class Led(Client):
        def __init__(self, config: dict[str, str]) -> None:
            super().__init__(config)
            self.base_url = f"{asked.url}/api/v4"
            # It sends its token as a parameter of the URL only; not every server takes it there.
            self._session.headers["PRIVATE-TOKEN"] = asked.token

    config = {
        "private_token": asked.token,
        "start_date": START,
        "groups": "",
        # What its user would have to write down by hand.
        "projects": " ".join(str(project["id"]) for project in projects(asked)),
    }
    with (
        (asked.out / "singer.jsonl").open("w") as out,
        contextlib.redirect_stdout(out),
        Led(config) as client,
    ):
        tap_gitlab.sync(client, config, catalog(), {})


main()
