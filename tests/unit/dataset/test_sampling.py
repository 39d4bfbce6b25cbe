"""What is counted of a record, to be compared with the next version of its GitLab."""

from typing import Any

import pytest

from labtrawl.dataset.sampling import WIDEST, names_of


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"id": 7, "weight": None}, {"id", "id:number", "weight"}),
        (
            {"author": {"name": "Ada", "bot": False}},
            {"author", "author:object", "author.", "author.name", "author.name:text"}
            | {"author.bot", "author.bot:yes or no"},
        ),
        (
            {"labels": [{"name": "a"}, {"color": "b"}, "c"]},
            {"labels", "labels:list", "labels[].", "labels[].name", "labels[].name:text"}
            | {"labels[].color", "labels[].color:text"},
        ),
        ({"used": {"C++": 1.5}}, {"used", "used:object"}),
        ({"by_day": {f"d{each}": 1 for each in range(WIDEST + 1)}}, {"by_day", "by_day:object"}),
        (
            {"a": {"b": {"c": {"d": 1}}}},
            {"a", "a:object", "a.", "a.b", "a.b:object", "a.b.", "a.b.c", "a.b.c:object"},
        ),
    ],
    ids=["plain", "object", "list", "keyed by data", "too wide", "too deep"],
)
def test_names_are_those_of_fields_objects_and_kinds(body: dict[str, Any], names: set[str]) -> None:
    assert set(names_of(body)) == names
