"""The OpenAPI description is whole, valid, and true of what the doors answer."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from labtrawl.website.access import AUDIENCE
from tests.integration.website.house import House, house

META = "https://json-schema.org/draft/2020-12/schema"


async def description(all_of_it: House) -> dict[str, Any]:
    status, told = await (await all_of_it.admin()).json("GET", "/api/openapi.json")
    assert status == 200
    assert isinstance(told, dict)
    return told


def schema_of(whole: dict[str, Any], method: str, path: str, kind: str) -> dict[str, Any]:
    place = whole["paths"][path][method.lower()]
    body = place["requestBody"] if kind == "takes" else place["responses"][kind]
    schema: dict[str, Any] = body["content"]["application/json"]["schema"]
    return {**schema, "components": whole["components"]}


def resolved(schema: Any) -> None:
    """Every reference leads somewhere, and every schema is one."""
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in set(references(schema)):
        assert name.rpartition("/")[2] in schema["components"]["schemas"], name


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [name for value in part.values() for name in references(value)]
    if isinstance(part, list):
        return [name for value in part for name in references(value)]
    return []


@pytest.mark.seed("S2.112", "S2.75")
async def test_every_door_is_described(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        whole = await description(all_of_it)
    assert whole["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, item in whole["paths"].items() for method in item}
    assert described == {
        pair for pair in AUDIENCE if pair[1].startswith("/api/") and pair[0] != "WEBSOCKET"
    }
    for method, path in described:
        resolved(schema_of(whole, method, path, "2XX"))
        resolved(schema_of(whole, method, path, "default"))
        if "requestBody" in whole["paths"][path][method.lower()]:
            resolved(schema_of(whole, method, path, "takes"))
    names = [item[method]["operationId"] for item in whole["paths"].values() for method in item]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", "/api/internal/jobs/open", None, "2XX"),
        ("GET", "/api/internal2/health", None, "2XX"),
        ("GET", "/api/internal2/tasks", None, "2XX"),
        ("POST", "/api/internal2/tasks", {"areaId": 1, "command": "issues"}, "2XX"),
        ("GET", "/api/internal2/tasks/{task_id}", None, "2XX"),
        ("GET", "/api/internal2/tasks/{task_id}/progress", None, "2XX"),
        ("PUT", "/api/internal2/tasks/{task_id}", {"priority": 4}, "2XX"),
        ("DELETE", "/api/internal2/tasks/{task_id}", None, "2XX"),
        ("POST", "/api/admin/crawler", {"action": "ping"}, "2XX"),
        ("POST", "/api/admin/crawler", {"action": "status"}, "2XX"),
        ("GET", "/api/admin/crawler", None, "2XX"),
        ("POST", "/api/admin/ledger/refill", {"area": "lab", "resource": "issues"}, "2XX"),
        ("GET", "/api/admin/statistics", None, "2XX"),
        ("GET", "/api/admin/health", None, "2XX"),
        ("POST", "/api/admin/crawler", {"action": "explode"}, "default"),
        ("POST", "/api/internal2/connect", {"id": "far-1"}, "default"),
    ],
)
async def test_answer_is_as_described(
    tmp_path: Path, method: str, path: str, body: object, kind: str
) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        whole = await description(all_of_it)
        local = all_of_it.client.over_socket()
        status, told = await local.json(method, path.replace("{task_id}", "1"), body)
    assert (status < 300) == (kind == "2XX"), told
    jsonschema.validate(told, schema_of(whole, method, path, kind))
    if body is not None and kind == "2XX":
        jsonschema.validate(body, schema_of(whole, method, path, "takes"))


async def test_description_holds_no_secret_of_this_site(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        whole = json.dumps(await description(all_of_it))
    assert (str(tmp_path) in whole, all_of_it.client.url in whole) == (False, False)
