"""The policy `study`: of each record what its kind's list allows, with pseudonyms for persons.

Everything else of the line goes through it too: the id, the request that it came from, the hash of
the page. What is withheld is counted by field; no value is ever told, not even in an error.
"""

import re
from collections import Counter
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from labtrawl.dataset.policy import NO_BODY, PRESENT, FetchedRecord
from labtrawl.dataset.policy_fields import IDS, PATH_WORDS, QUERY_WORDS, SHAPES
from labtrawl.dataset.policy_rules import DROPPED, WITHHELD, Pass
from labtrawl.dataset.pseudonyms import Pseudonyms, is_pseudonym
from labtrawl.dataset.tables_values import decode
from labtrawl.domain.json_object import JsonObject

_NUMBER: Final = re.compile(r"[0-9]{1,19}\Z")
_VALUE: Final = re.compile(
    r"([0-9]{1,19}|[a-z_]{1,20}|[0-9]{4}-[0-9]{2}-[0-9]{2}[0-9T:.Z+%A-F-]{0,28})\Z"
)
_QUERY_NAME: Final = re.compile(r"[a-z_]{1,40}\Z")
_ELSE: Final = "*"
_ENCODER: Final = msgspec.json.Encoder()
_MAX_NUMBER: Final = 2**63 - 1


class Study:
    """The gate of a study for one instance; `withheld` counts the fields by their place."""

    name: Final = "study"

    def __init__(self, key: bytes, instance: str) -> None:
        """Raises ValueError for what is no key of a study."""
        self._pseudonyms = Pseudonyms(key, instance)
        self.withheld: Counter[str] = Counter()
        self._pass = Pass(self._pseudonyms, self._withhold)

    def _withhold(self, place: str) -> None:
        self.withheld[place] += 1

    def counted(self) -> dict[str, int]:
        """Return what was withheld since this was asked last: how often, by field."""
        told = dict(self.withheld)
        self.withheld.clear()
        return told

    def shaped(self, record: FetchedRecord) -> FetchedRecord:
        """Return the record as it may be kept.

        Raises ValueError for a kind that no list names and for an id that cannot be told; neither
        says what was in it.
        """
        return replace(
            record,
            id=self._id(record),
            request=self._request(record.request),
            page_sha256=self._page(record.page_sha256),
            body=self._body(record) if record.state == PRESENT else JsonObject(NO_BODY),
        )

    def _body(self, record: FetchedRecord) -> JsonObject:
        rule = SHAPES.get(record.kind)
        if rule is None:
            raise ValueError("no list says what may be kept of this kind of record")
        kept = rule(decode(bytes(record.body)), self._pass, "")
        if kept is WITHHELD or kept is DROPPED:
            raise ValueError("it is no object")
        return JsonObject(_ENCODER.encode(kept))

    def _id(self, record: FetchedRecord) -> int | str:
        if isinstance(record.id, int):
            return record.id
        before, rule = IDS.get(record.kind, (0, None))
        if rule is None:
            return self._numbers(record.id)
        *places, own = record.id.split("/", before)
        if len(places) != before or not all(map(_NUMBER.match, places)):
            raise ValueError("its id is not of the form that its kind has")
        return "/".join([*places, str(self._own(own, rule, record.state))])

    def _own(self, own: str, rule: Any, state: str) -> Any:
        """Return what stands for an object's own part of its id.

        The id of a tombstone comes from the dataset: it went through here before.
        """
        value: int | str = own
        if _NUMBER.match(own) and int(own) <= _MAX_NUMBER:
            value = int(own)
        if state != PRESENT and is_pseudonym(value):
            return own
        told = rule(value, self._pass, "id")
        if told is WITHHELD:
            told = rule(own, self._pass, "id")
        if told is WITHHELD:
            raise ValueError("its id is not of the form that its kind has")
        return told

    def _numbers(self, text: str) -> str:
        if not all(map(_NUMBER.match, text.split("/"))):
            raise ValueError("its id is not of the form that its kind has")
        return text

    def _request(self, request: str) -> str:
        """Return path and query without what may be a name, a hash or a cursor."""
        place, fragment, part_of = request.partition("#")
        path, mark, query = place.partition("?")
        parts = [
            part if part in PATH_WORDS or _NUMBER.match(part) or not part else _ELSE
            for part in path.split("/")
        ]
        asked = "&".join(map(_parameter, query.split("&"))) if mark else ""
        return "/".join(parts) + mark + asked + fragment + _named(part_of)

    def _page(self, sha256: str) -> str:
        """Return a keyed hash of a page's: without the key nobody can try what the page held."""
        return self._pseudonyms.text("page", sha256) if sha256 else ""


def _named(part_of: str) -> str:
    """Return which of our GraphQL queries it was (`crawler.batched_items` writes its name)."""
    return part_of if not part_of or _QUERY_NAME.match(part_of) else _ELSE


def _parameter(text: str) -> str:
    name, _, value = text.partition("=")
    if name not in QUERY_WORDS:
        return _ELSE
    return text if _VALUE.match(value) else f"{name}={_ELSE}"
