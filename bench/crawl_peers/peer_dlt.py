"""dlt's rest_api source into JSON lines on the disk, with as many workers as it takes at once."""

import os
from pathlib import Path
from typing import Any

from lists import LISTS, PROJECTS, Listing, Wanted, wanted

asked = wanted()
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": "20",
    "EXTRACT__MAX_PARALLEL_ITEMS": "20",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DLT_DATA_DIR": str(asked.out / "dlt"),
}

import dlt  # noqa: E402 - it reads the environment
from dlt.sources.rest_api import rest_api_source  # noqa: E402


def resource(name: str, one: Listing) -> dict[str, Any]:
    """A list below the projects, or below another list."""
    if one.parent:
        prefix = f"{{resources.{one.parent}.project_id}}"
        key = f"{{resources.{one.parent}.{one.key}}}"
        path = f"projects/{prefix}/{one.path.format(key=key)}"
    else:
        path = f"projects/{{resources.projects.id}}/{one.path}"
    params: dict[str, Any] = {**one.params(), "per_page": 100}
    return {"name": name, "endpoint": {"path": path, "params": params}, "parallelized": True}


def source(asked: Wanted) -> Any:
    projects = Listing("", PROJECTS).params() | {"per_page": "100"}
    return rest_api_source(
        {
            "client": {
                "base_url": f"{asked.url}/api/v4/",
                "headers": {"PRIVATE-TOKEN": asked.token},
                "paginator": {"type": "header_link"},
            },
            "resources": [
                {"name": "projects", "endpoint": {"path": "projects", "params": projects}},
                *(resource(name, LISTS[name]) for name in asked.lists),
            ],
        }
    )


def main() -> None:
    folder = Path(asked.out).resolve()
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(folder / "files").as_uri()),
        dataset_name="gitlab",
    )
    pipeline.run(source(asked), loader_file_format="jsonl")


main()
