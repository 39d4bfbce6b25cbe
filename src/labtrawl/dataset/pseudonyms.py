"""Pseudonyms: the same value gets the same one in a study, and nobody without its key finds out more.

HMAC-SHA-256 (RFC 2104) over the instance, what kind of value it is, and the value in a normal form,
each behind its length: no two different triples give the same bytes.
"""

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Final

KEY_BYTES: Final = 32
VERSION: Final = b"labtrawl study 1"
# Numbers of users become numbers that every reader takes exactly (JSON and spreadsheets know 53
# bits), and that are above all that GitLab gives: one can be told from the other.
LEAST_NUMBER: Final = 1 << 52
_TEXT: Final = re.compile(r"p-[a-z2-7]{26}\Z")
_SPACE: Final = re.compile(r"\s+")
# Bounds the memory of a crawler that meets more values than any study has people.
_REMEMBERED: Final = 65_536


def normal(value: str) -> str:
    """Return a text in the form that all ways to write it share: Unicode NFC, single blanks."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", value)).strip()


def folded(value: str) -> str:
    """Return the same where upper and lower case mean nothing: user names, e-mail addresses."""
    return unicodedata.normalize("NFC", normal(value).casefold())


class Pseudonyms:
    """Makes pseudonyms of one instance under a study's key; the key is never shown."""

    __slots__ = ("_digest",)

    def __init__(self, key: bytes, instance: str) -> None:
        """`instance` names the GitLab: user 7 of another one is somebody else.

        Raises ValueError for a key that is not of 256 bits.
        """
        if len(key) != KEY_BYTES:
            raise ValueError("the key of a study has 256 bits")
        self._digest = lru_cache(_REMEMBERED)(_digester(key, instance))

    def text(self, label: str, value: str) -> str:
        """Return the pseudonym of a text: `p-` and 26 characters, of 128 bits."""
        told = base64.b32encode(self._digest(label, value)[:16]).decode().rstrip("=").lower()
        return f"p-{told}"

    def number(self, label: str, value: int) -> int:
        """Return the pseudonym of a number: from 2^52 on, below 2^53."""
        told = int.from_bytes(self._digest(label, str(value))[:8])
        return LEAST_NUMBER | (told & (LEAST_NUMBER - 1))


def _digester(key: bytes, instance: str) -> Callable[[str, str], bytes]:
    begun = hmac.new(key, _framed(VERSION) + _framed(instance.encode()), hashlib.sha256)

    def digest(label: str, value: str) -> bytes:
        made = begun.copy()
        made.update(_framed(label.encode()))
        # Half of a pair of surrogates is no text, but JSON can write it.
        made.update(_framed(value.encode("utf-8", "surrogatepass")))
        return made.digest()

    return digest


def _framed(value: bytes) -> bytes:
    return len(value).to_bytes(8) + value


def is_pseudonym(value: int | str) -> bool:
    """Say whether a value has the form of a pseudonym."""
    if isinstance(value, int):
        return LEAST_NUMBER <= value < LEAST_NUMBER << 1
    return _TEXT.match(value) is not None
