"""Whatever GitLab sends, no text of a person passes the gate of a study, and what is unknown is counted."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.dataset.policy import FetchedRecord, apply, parse_line
from labtrawl.dataset.policy_fields import SHAPES
from labtrawl.dataset.policy_study import Study
from labtrawl.errors import DatasetError

KEY = bytes(range(32))
# A name as people have them: two words and a letter that no word of GitLab's has.
CANARY = "Zoë Canary"
FIELDS = [
    *("id", "iid", "name", "username", "title", "state", "description", "author", "user", "email"),
    *("labels", "notes", "body", "position", "commit", "sha", "ref", "web_url", "created_at"),
    *("assignees", "milestone", "pipeline", "runner", "push_data", "owner", "namespace", "new one"),
]


def _values(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inside, max_size=3) | st.dictionaries(
        st.sampled_from(FIELDS), inside, max_size=6
    )


TEXTS = st.sampled_from([CANARY, f"{CANARY}@x.org", f"https://g/{CANARY}", f"x/{CANARY}", "active"])
LEAVES = TEXTS | st.none() | st.booleans() | st.integers(0, 9) | st.floats(0, 1)
BODIES = st.dictionaries(
    st.sampled_from(FIELDS) | st.just(CANARY), st.recursive(LEAVES, _values, max_leaves=20)
)


def _record(kind: str, body: object, id_: int | str) -> FetchedRecord:
    text = json.dumps(body).encode()
    return FetchedRecord(
        id_, kind, "2026-03-04T05:06:07Z", f"/x/{CANARY}?a={CANARY}", "ab", "19", text
    )


@given(
    st.sampled_from(sorted(SHAPES)), BODIES, st.sampled_from([5, "12/Zoë Canary", "12/3/x", "y"])
)
def test_no_text_of_a_person_passes(kind: str, body: dict[str, Any], id_: int | str) -> None:
    study = Study(KEY, "1")
    line = _line(study, kind, body, id_)
    assert "Canary" not in line
    assert not any("Canary" in field for field in study.withheld)
    again = Study(KEY, "1")
    assert _line(again, kind, body, id_) == line


def _line(study: Study, kind: str, body: dict[str, Any], id_: int | str) -> str:
    """Return the line that is written, or why none is."""
    try:
        return apply(study, "x", _record(kind, body, id_)).line.decode()
    except DatasetError as error:
        return str(error)


@given(st.sampled_from(sorted(SHAPES)), st.sets(st.from_regex(r"new_[a-z]{1,8}", fullmatch=True)))
def test_each_unknown_field_is_counted_once(kind: str, unknown: set[str]) -> None:
    study = Study(KEY, "1")
    body = {field: {"name": CANARY} for field in unknown}
    kept = bytes(parse_line(apply(study, "x", _record(kind, body, 5)).line).body)
    assert kept == b"{}"
    if kind != "project_languages":
        assert study.counted() == dict.fromkeys(unknown, 1)
