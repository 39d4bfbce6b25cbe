import msgspec
import pytest

from labtrawl.dataset.policy import GatedRecord, Record, apply, apply_all, parse_line
from labtrawl.errors import ConfigError, DatasetError
from tests.integration.dataset.samples import fetched

ODD_BODY = b'{"id": 7,  "b":1.50, "a":"\\u00e9\xc3\xa9", "a":2, "n":100000000000000000000000}'


def test_as_is_keeps_the_body_byte_for_byte() -> None:
    gated = apply("as_is", "issues", fetched(7, body=ODD_BODY))
    assert gated.line.endswith(b'"policy":"as_is","body":' + ODD_BODY + b"}\n")
    assert bytes(parse_line(gated.line).body) == ODD_BODY


def test_line_has_the_fields_of_the_envelope_in_their_order() -> None:
    line = apply("as_is", "members", fetched("12/5", kind="project_member", body=b"{}")).line
    assert line == (
        b'{"id":"12/5","kind":"project_member","fetched_at":"2026-03-04T05:06:07.089Z",'
        b'"request":"/api/v4/projects/12/issues?per_page=100","page_sha256":"' + b"ab" * 32 + b'",'
        b'"gitlab_version":"19.3.0","policy":"as_is","body":{}}\n'
    )


def test_as_is_of_a_body_over_several_lines_makes_one_line() -> None:
    gated = apply("as_is", "issues", fetched(7, body=b'{\r\n "id": 7\n}'))
    assert gated.line.count(b"\n") == 1
    assert bytes(parse_line(gated.line).body) == b'{   "id": 7 }'


def test_apply_with_an_unknown_policy_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no policy 'study2'.*; there is: as_is"):
        apply("study2", "issues", fetched(7))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"id":7',
        b'{"id":7}}',
        b'{"id":7},"policy":"none"',
        b'{"id":7} {"id":8}',
        b'{"name":"\xff"}',
        b'{"name":"a\nb"}',
        b'{"x":' * 100_000,
    ],
)
def test_apply_to_a_body_that_is_no_whole_object_refuses_it(body: bytes) -> None:
    with pytest.raises(DatasetError, match="issue 7 of issues was refused"):
        apply("as_is", "issues", fetched(7, body=body))


@pytest.mark.parametrize("at", ["yesterday", "2026-03-04T05:06:07", "2026-03-04T05:06:07+02:00"])
def test_apply_with_an_instant_that_is_not_utc_refuses_it(at: str) -> None:
    with pytest.raises(DatasetError, match="refused"):
        apply("as_is", "issues", fetched(7, at=at))


@pytest.mark.parametrize("natural_id", [None, True, 1.5])
def test_apply_with_an_id_of_another_type_refuses_it(natural_id: object) -> None:
    record = msgspec.structs.replace(fetched(7), id=natural_id)
    with pytest.raises(DatasetError, match="not a number or a text"):
        apply("as_is", "issues", record)


def test_gated_record_built_past_the_gate_is_refused() -> None:
    record = Record(1, "issue", "", "", "", "", "as_is", msgspec.Raw(b"{}"))
    with pytest.raises(TypeError, match=r"dataset\.policy\.apply"):
        GatedRecord(object(), record, b"{}\n")


def test_apply_all_is_apply_to_each_in_order() -> None:
    records = [
        fetched(7, body=ODD_BODY),
        fetched('12/ä"b', kind="branch", at="2026-03-04T05:06:08Z"),
        msgspec.structs.replace(fetched(8, body=b"{}"), state="gone", request='/x?a="{}"'),
        fetched(9),
    ]
    lines = [gated.line for gated in apply_all("as_is", "issues", records)]
    assert lines == [apply("as_is", "issues", record).line for record in records]
    assert [parse_line(line).id for line in lines] == [7, '12/ä"b', 8, 9]
    assert [parse_line(line).state for line in lines] == ["present", "present", "gone", "present"]
    assert parse_line(lines[2]).request == '/x?a="{}"'


def test_gated_record_tells_the_body_of_its_line() -> None:
    gated = apply("as_is", "issues", fetched(7, body=b'{\n "id": 7}'))
    assert (gated.id, gated.kind, bytes(gated.body)) == (7, "issue", b'{  "id": 7}')


@pytest.mark.parametrize("body", [b'{"id":7', b"[]", b'{"name":"\xff"}'])
def test_bytes_that_nobody_looked_at_are_looked_at(body: bytes) -> None:
    record = msgspec.structs.replace(fetched(7), body=body)
    with pytest.raises(DatasetError, match="refused"):
        apply_all("as_is", "issues", [fetched(6), record])
