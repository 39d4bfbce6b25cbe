"""The policy of studies: what it keeps of each kind, and that no list of the catalog is forgotten."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from labtrawl.dataset.policy import GONE, NO_BODY, FetchedRecord, apply, apply_all, parse_line
from labtrawl.dataset.policy_fields import IDS, PATH_WORDS, QUERY_WORDS, SHAPES
from labtrawl.dataset.policy_study import Study
from labtrawl.dataset.pseudonyms import Pseudonyms, is_pseudonym
from labtrawl.dataset.tables import BY_NAME
from labtrawl.dataset.tables_shape import Column
from labtrawl.errors import ConfigError, DatasetError
from labtrawl.gitlab import catalog

KEY = bytes(range(32))
# Free text, which a study does not keep: these columns are empty in its tables.
EMPTY = {
    "description",
    "title",
    "body",
    "message",
    "summary",
    "target_title",
    "merge_requests.name",
    "releases.name",
    "pipelines.name",
    "merge_request_pipelines.name",
}


def _fetched(kind: str, id_: int | str, body: dict[str, Any], **fields: Any) -> FetchedRecord:
    told = {"request": "/api/v4/projects/12/issues?per_page=100", "page_sha256": "ab" * 32}
    return FetchedRecord(
        id=id_,
        kind=kind,
        fetched_at="2026-03-04T05:06:07.089Z",
        gitlab_version="19.3.0",
        body=json.dumps(body).encode(),
        **(told | fields),
    )


def _kept(study: Study, kind: str, body: dict[str, Any]) -> Any:
    return json.loads(bytes(parse_line(apply(study, "x", _fetched(kind, 1, body)).line).body))


@pytest.fixture
def study() -> Study:
    return Study(KEY, "1")


def test_issue_keeps_numbers_times_and_states_and_no_name(study: Study) -> None:
    author = {"id": 7, "username": "Jane", "name": "Jane Doe", "bio": "I am", "state": "active"}
    body = {
        "id": 5,
        "iid": 2,
        "title": "Ask Jane",
        "state": "opened",
        "created_at": "2026-01-02T03:04:05.678Z",
        "author": author,
        "labels": ["with Jane"],
        "weight": None,
        "secret": "x",
    }
    pseudonyms = Pseudonyms(KEY, "1")
    assert _kept(study, "issue", body) == {
        "id": 5,
        "iid": 2,
        "state": "opened",
        "created_at": "2026-01-02T03:04:05.678Z",
        "author": {
            "id": pseudonyms.number("user", 7),
            "username": pseudonyms.text("username", "jane"),
            "name": pseudonyms.text("name", "Jane Doe"),
            "state": "active",
        },
        "labels": [pseudonyms.text("label", "with Jane")],
        "weight": None,
    }
    assert study.counted() == {"secret": 1}
    assert study.counted() == {}


def test_values_of_another_kind_do_not_pass(study: Study) -> None:
    body = {
        "id": "Jane",
        "state": "Jane Doe is here, really",
        "created_at": "Jane",
        "author": "Jane",
    }
    assert _kept(study, "issue", body | {"labels": [{"name": "Jane"}], "weight": True}) == {
        "labels": []
    }
    assert study.counted() == dict.fromkeys(
        ("id", "created_at", "author", "labels[]", "weight", "state"), 1
    )


@pytest.mark.parametrize(
    ("kind", "id_", "like"),
    [
        ("project_member", "12/7", r"12/[0-9]{16}"),
        ("merge_request_reviewer", "12/3/7", r"12/3/[0-9]{16}"),
        ("commit", f"12/{'ab' * 20}", r"12/p-[a-z2-7]{26}"),
        ("merge_request_commit", f"12/3/{'ab' * 20}", r"12/3/p-[a-z2-7]{26}"),
        ("branch", "12/jane/fix/1", r"12/p-[a-z2-7]{26}"),
        ("branch", "12/77", r"12/p-[a-z2-7]{26}"),
        ("branch", "12/main", r"12/main"),
        ("tag", "12/v1", r"12/p-[a-z2-7]{26}"),
        ("discussion", "6a9c1750b37d513a43987b574953fceb50b03ce7", r"6a9c1750b37d513a[0-9a-f]{24}"),
        ("discussion", "by-jane", r"p-[a-z2-7]{26}"),
        ("issue", 5, r"5"),
        ("issue_link", "12/3/9", r"12/3/9"),
        ("project_languages", "12", r"12"),
    ],
)
def test_id_says_no_name_and_a_tombstone_has_the_same(
    study: Study, kind: str, id_: int | str, like: str
) -> None:
    kept = study.shaped(_fetched(kind, id_, {})).id
    assert isinstance(kept, type(id_))
    assert re.fullmatch(like, str(kept))
    # It is made of the id that the dataset has.
    gone = FetchedRecord(kept, kind, "2026-03-04T05:06:07Z", "/x", "", "19", NO_BODY, GONE)
    assert study.shaped(gone).id == kept


@pytest.mark.parametrize("id_", ["jane", "jane/7", "12/3/jane"])
def test_id_of_another_form_is_refused_without_telling_it(study: Study, id_: str) -> None:
    with pytest.raises(DatasetError) as refused:
        apply(study, "labels", _fetched("label", id_, {"id": 1}))
    assert "jane" not in str(refused.value)


def test_kind_that_no_list_has_is_refused(study: Study) -> None:
    with pytest.raises(DatasetError, match="a diary of notes was refused by the policy study"):
        apply(study, "notes", _fetched("diary", 1, {"id": 1}))


def test_broken_body_is_refused_without_telling_it(study: Study) -> None:
    record = _fetched("label", 1, {})
    for body in (b'{"name": "jane', b'"jane"', b'{"name": "\xff jane"}', b"[1]"):
        broken = FetchedRecord(1, "label", record.fetched_at, record.request, "", "19", body)
        with pytest.raises(DatasetError) as refused:
            apply(study, "labels", broken)
        assert "jane" not in str(refused.value)


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        (
            "/api/v4/projects/12/issues?scope=all&per_page=100&updated_after=2026-01-02T03:04:05Z",
            "/api/v4/projects/12/issues?scope=all&per_page=100&updated_after=2026-01-02T03:04:05Z",
        ),
        ("/api/v4/projects/jane%2Fhome/issues", "/api/v4/projects/*/issues"),
        (
            "/api/v4/projects/12/repository/commits/abcdef/discussions?cursor=amFuZQ&author=jane",
            "/api/v4/projects/12/repository/commits/*/discussions?*&*",
        ),
        ("/api/v4/projects/12/issues?state=Jane+Doe", "/api/v4/projects/12/issues?state=*"),
        ("/api/graphql#issue_discussions", "/api/graphql#issue_discussions"),
        ("/api/graphql#Jane", "/api/graphql#*"),
    ],
)
def test_request_keeps_numbers_and_our_own_words(study: Study, request_: str, kept: str) -> None:
    shaped = study.shaped(_fetched("label", 1, {"id": 1}, request=request_))
    assert shaped.request == kept


def test_page_hash_is_keyed(study: Study) -> None:
    shaped = study.shaped(_fetched("label", 1, {"id": 1}))
    assert is_pseudonym(shaped.page_sha256)


def test_study_needs_its_key() -> None:
    with pytest.raises(ConfigError, match="needs a study's key"):
        apply_all("study", "issues", [])
    with pytest.raises(ValueError, match="256 bits"):
        Study(b"short", "1")


def test_every_resource_of_the_catalog_has_a_list() -> None:
    kinds = {one.kind for one in catalog.RESOURCES if one.kind}
    assert set(SHAPES) == kinds
    text_ids = {one.kind for one in catalog.RESOURCES if one.kind and one.text_id}
    people = {one.kind for one in catalog.RESOURCES if one.kind.endswith("_member")}
    assert set(IDS) == text_ids | people | {"merge_request_reviewer"}
    words = {part for one in catalog.RESOURCES for part in one.path.split("/") if "{" not in part}
    assert words - {""} <= PATH_WORDS
    asked = {
        part.partition("=")[0]
        for one in catalog.RESOURCES
        for query in (one.query, one.keyset_query, one.changes)
        for part in query.split("&")
    }
    assert asked - {""} <= QUERY_WORDS


FORMS = {"color": "#00ff00", "real_size": "12+"}


def _marker(column: Column) -> Any:
    """A value that the column would take."""
    values = {
        "BIGINT": 3,
        "DOUBLE": 2.5,
        "BOOLEAN": True,
        "VARCHAR": "opened",
        "TIMESTAMPTZ": "2026-01-02T03:04:05Z",
        "DATE": "2026-01-02",
        "BIGINT[]": [3],
        "VARCHAR[]": ["opened"],
    }
    return FORMS.get(column.name, values[column.type.value])


def _planted(columns: tuple[Column, ...]) -> dict[str, Any]:
    """A body that has a value for every column which comes from one."""
    body: dict[str, Any] = {}
    for column in columns:
        steps = column.path.split(".")
        if column.path.startswith("@"):
            continue
        value = _marker(column)
        value = value[0] if "*" in steps and isinstance(value, list) else value
        for step in reversed(steps[1:]):
            value = [value] if step == "*" or step.isdecimal() else {step: value}
        _merge(body, steps[0], value)
    return body


def _merge(into: Any, key: Any, value: Any) -> None:
    there = into.get(key)
    if isinstance(there, dict) and isinstance(value, dict):
        for name, inside in value.items():
            _merge(there, name, inside)
    elif isinstance(there, list) and isinstance(value, list) and isinstance(value[0], dict):
        for name, inside in value[0].items():
            _merge(there[0], name, inside)
    else:
        into[key] = value


def _found(body: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(body, list):
            body = body[0] if body else None
        elif isinstance(body, dict):
            body = body.get(step)
    return body[0] if isinstance(body, list) and body else body


TABLES_OF_KIND = [
    (one.kind, table)
    for one in catalog.RESOURCES
    for table in BY_NAME.values()
    if one.kind and one.name in table.resources and table.parts is None
]


@pytest.mark.parametrize(
    ("kind", "table"), TABLES_OF_KIND, ids=lambda one: getattr(one, "name", one)
)
def test_tables_read_what_a_study_keeps(study: Study, kind: str, table: Any) -> None:
    """Every column that is no free text has its value in a study's record too."""
    kept = _kept(study, kind, _planted(table.columns))
    lost = {
        column.name
        for column in table.columns
        if not column.path.startswith("@") and _found(kept, column.path.split(".")) is None
    }
    allowed = {name for name in lost if name in EMPTY or f"{table.name}.{name}" in EMPTY}
    assert lost - allowed == set()


def test_pseudonyms_are_of_one_study_one_instance_and_one_kind_of_value() -> None:
    told = Counter(
        Pseudonyms(key, instance).text(label, value)
        for key in (KEY, bytes(32))
        for instance in ("1", "11")
        for label, value in (("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"))
    )
    assert set(told.values()) == {1}
    assert len(told) == 16


def test_pseudonyms_hold_for_all_ways_to_write_a_value(study: Study) -> None:
    one = {"username": "Jané", "name": "Jane  Doe", "email": "Jane@Example.org "}
    other = {"username": "jane\u0301", "name": " Jane Doe", "email": "jane@example.org"}
    member = "project_member"
    assert _kept(study, member, one) == _kept(study, member, other)


def test_numbers_of_people_are_exact_in_every_reader() -> None:
    pseudonyms = Pseudonyms(KEY, "1")
    made = {pseudonyms.number("user", number) for number in range(2000)}
    assert len(made) == 2000
    assert all(is_pseudonym(one) and float(one) == one for one in made)
