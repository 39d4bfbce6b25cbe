"""Answers kept whole, so that a page asked for again costs a look-up and one write.

Entered by the app. An answer is kept with the stamp of what it was made of (`Shelf.stamp`); after a
change the stamp is another one and the answer is made anew.
"""

import hashlib

from labtrawl.sandbox.wire import JSON_TYPE, Reply

LIMIT_BYTES = 512 * 1024 * 1024
Key = tuple[str, int]


def etag_of(body: bytes) -> bytes:
    """The weak ETag of a body: 32 hexadecimal digits, as GitLab's are.

    GitLab takes MD5; the start of a SHA-1 is as good here and three times as fast.
    """
    return f'W/"{hashlib.sha1(body, usedforsecurity=False).hexdigest()[:32]}"'.encode()


def tagged(reply: Reply) -> Reply:
    """The reply with its ETag, if it is one that GitLab gives an ETag to."""
    if reply.tag or reply.status != 200 or reply.content_type != JSON_TYPE:
        return reply
    return Reply(reply.status, reply.body, reply.headers, reply.content_type, etag_of(reply.body))


class Memo:
    """Replies by address and user, `limit_bytes` of bodies at most: then it starts afresh."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._kept: dict[Key, tuple[int, Reply]] = {}

    def find(self, key: Key, stamp: int) -> Reply | None:
        """The reply kept under `key`, unless it was made before the world's last change."""
        found = self._kept.get(key)
        return found[1] if found is not None and found[0] == stamp else None

    def keep(self, key: Key, stamp: int, reply: Reply) -> None:
        """Keep a reply, in place of an older one."""
        older = self._kept.pop(key, None)
        self._bytes += len(reply.body) - (len(older[1].body) if older else 0)
        if self._bytes > self._limit_bytes:
            self._kept.clear()
            self._bytes = len(reply.body)
        self._kept[key] = (stamp, reply)
