"""What may stand in a query: the types that the pages share. An empty value is none at all."""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import HTTPException, Path, Request
from pydantic import BeforeValidator, Field

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import JobState
from labtrawl.store.pages.areas import AreaKey
from labtrawl.store.pages.keyset import Place

LARGEST = 2**63 - 1
FORM_BYTES = 16384


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


Blank = BeforeValidator(_none_if_blank)
Id = Annotated[int, Path(ge=1, le=LARGEST)]
Change = Annotated[int, Field(ge=0, le=LARGEST)]
MaybeId = Annotated[Change | None, Blank]
MaybeState = Annotated[JobState | None, Blank]
MaybeKind = Annotated[AreaKind | None, Blank]
Word = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]*$")]
SettingName = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_.]*$")]
ProgramName = Annotated[str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$")]
PathPart = Annotated[str, BeforeValidator(_stripped), Field(max_length=255)]
# Part of what a failure says; as long as the overview shows and two quotes.
LONGEST_MESSAGE = 300
MessagePart = Annotated[str, BeforeValidator(_stripped), Field(max_length=LONGEST_MESSAGE)]
# As many as a page shows, with commas between them.
Ids = Annotated[str, Field(pattern=r"^([0-9]{1,18}(,[0-9]{1,18}){0,199})?$")]
# ID:PATH, the key of an area in the tree.
_Key = Annotated[str, Field(max_length=4096, pattern=r"^[0-9]{1,18}:")]
InTree = Annotated[_Key | None, Blank]


def ids_of(value: str) -> tuple[int, ...]:
    """Return the numbers of an `Ids`."""
    return tuple(int(each) for each in value.split(",") if each)


def place_in_tree(after: str | None, before: str | None) -> Place[AreaKey]:
    """Return the place that two `InTree` name."""
    return Place(_area_key(after), _area_key(before))


def _area_key(value: str | None) -> AreaKey | None:
    if value is None:
        return None
    number, _, path = value.partition(":")
    return AreaKey(path, int(number))


async def form_field(request: Request, name: str) -> str:
    """Return a field of a small urlencoded form; 413 where the body is larger than 16 KiB."""
    return (await form_fields(request)).get(name, "")


async def form_body(request: Request) -> bytes:
    """Return a small urlencoded form as it came; 413 above 16 KiB."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            raise HTTPException(413)
    return body


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of a small urlencoded form, each once; 413 above 16 KiB."""
    body = await form_body(request)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}
