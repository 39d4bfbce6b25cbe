"""What queries score, by the formula of GitLab's fields."""

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql.limits import MEMBER, Measure, objections
from labtrawl.sandbox.graphql.schema import schema_of

SCHEMA = schema_of(Profile("18.5.0-ce", enterprise=False))


def measured(text: str, **variables: object) -> tuple[int, Measure]:
    document = parse(text)
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    operation = next(e for e in document.definitions if isinstance(e, OperationDefinitionNode))
    measure = Measure(SCHEMA, fragments, dict(variables))
    return measure.score(operation), measure


def inside(selection: str) -> str:
    return f'query($n: Int) {{ project(fullPath: "g/p") {{ {selection} }} }}'


@pytest.mark.parametrize(
    ("selection", "score"),
    [
        ("id", 2),
        # (id + nodes + 1) doubled by a page of 100, and the project
        ("issues(first: 100) { nodes { id } }", 7),
        ("issues { nodes { id } }", 7),
        ("issues(first: 50) { nodes { id } }", 5),
        ("issues(first: 500) { nodes { id } }", 7),
        ("issues(first: 100) { nodes { id iid } }", 9),
        ("issues(first: 100, sort: UPDATED_ASC) { nodes { id } }", 9),
        ('issues(first: 100, iids: ["1"]) { nodes { id } }', 4),
        ("issues(first: 100) { count }", 5),
        # labels of a page of 100: (1 + 1 + 1) * 2 = 6
        ("issues(first: 100) { nodes { labels { nodes { title } } } }", 17),
        # mergedAt costs 5, labels 5 and theirs
        ("mergeRequests(first: 100) { nodes { mergedAt } }", 15),
        ("mergeRequests(first: 100) { nodes { labels { nodes { title } } } }", 19),
        ("mergeRequests(first: 100) { nodes { diffHeadSha } }", 9),
        ("mergeRequests(first: 100) { nodes { participants { nodes { id } } } }", 39),
    ],
)
def test_score_of_a_selection(selection: str, score: int) -> None:
    assert measured(inside(selection))[0] == score


def test_variables_and_fragments_count_as_what_they_stand_for() -> None:
    text = inside("issues(first: $n) { nodes { ...Row } }") + " fragment Row on Issue { id iid }"
    assert [measured(text, n=n)[0] for n in (100, 50, 1)] == [9, 7, 5]


def test_all_of_a_merge_requests_scalars_come_near_the_limit() -> None:
    # Measured at gitlab.com: every scalar of MergeRequest with first: 100 scores 245.
    kind = SCHEMA.type_map["MergeRequest"]
    scalars = [
        name
        for name, field in kind.fields.items()  # type: ignore[attr-defined]
        if not hasattr(getattr(field.type, "of_type", field.type), "fields")
    ]
    score, _ = measured(inside(f"mergeRequests(first: 100) {{ nodes {{ {' '.join(scalars)} }} }}"))
    assert 100 < score <= 250


def test_discussions_with_notes_score_little() -> None:
    text = inside(
        "issues(first: 50) { nodes { discussions(first: 20) { nodes { id "
        "notes(first: 50) { nodes { id body } } } } } }"
    )
    assert measured(text)[0] < 70


def test_objections_are_in_gitlabs_words() -> None:
    _, deep = measured(inside("issues { nodes { id } }"))
    deep.depth = 21
    deep.recurring = {"discussion": 3}
    assert objections([deep], 251, MEMBER) == [
        "Query has complexity of 251, which exceeds max complexity of 250",
        "Query has depth of 21, which exceeds max depth of 20",
        "Recursive query - too many of fields '{\"discussion\"=>3}' detected in single branch of the query",
    ]
    _, flat = measured(inside("id"))
    assert objections([flat], 250, MEMBER) == []
