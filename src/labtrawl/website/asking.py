"""What may stand in a query: the types that the pages share. An empty value is none at all."""

import re
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import HTTPException, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import JobState
from labtrawl.store.pages.areas import AreaKey

LARGEST = 2**63 - 1
FORM_BYTES = 4096
IDS = 200


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _area_key(value: str | None) -> AreaKey | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,18}):(.*)", value, re.DOTALL)
    if found is None:
        raise ValueError("a place in the tree is ID:PATH")
    return AreaKey(found[2], int(found[1]))


def _ids(value: str) -> tuple[int, ...]:
    if not re.fullmatch(r"(\d{1,18}(,\d{1,18})*)?", value, re.ASCII):
        raise ValueError("ids are numbers with commas between them")
    found = tuple(int(each) for each in value.split(",") if each)
    if len(found) > IDS:
        raise ValueError("that is more than one page shows")
    return found


Blank = BeforeValidator(_none_if_blank)
Id = Annotated[int, Field(ge=1, le=LARGEST)]
Change = Annotated[int, Query(ge=0, le=LARGEST)]
MaybeId = Annotated[int | None, Blank, Query(ge=0, le=LARGEST)]
MaybeState = Annotated[JobState | None, Blank, Query()]
MaybeKind = Annotated[AreaKind | None, Blank, Query()]
Word = Annotated[str, Query(max_length=64, pattern=r"^[a-z0-9_]*$")]
Part = Annotated[str, BeforeValidator(str.strip), Query(max_length=255)]
IdList = Annotated[str, AfterValidator(lambda value: value), Query(max_length=IDS * 20)]
PlaceInTree = Annotated[str | None, Blank, Query(max_length=2048)]


async def form_field(request: Request, name: str) -> str:
    """Return a field of a small urlencoded form; 413 where the body is larger than 4 KiB."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            raise HTTPException(413)
    fields = parse_qs(body.decode("utf-8", "replace"))
    return fields.get(name, [""])[0]
