"""Takes the body of an answer in, under caps: whole or not at all."""

import zlib
from collections.abc import Mapping

from labtrawl.errors import Unavailable, UnexpectedReply
from labtrawl.http.origin import Limits

_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: a gzip header and trailer, nothing else
_RATIO_FLOOR = 1024 * 1024  # under this size a body may inflate at any ratio: it does no harm


class Intake:
    """Takes a body in chunk by chunk, inflates it, and gives it out whole or not at all."""

    def __init__(self, host: str, status: int, headers: Mapping[str, str], limits: Limits) -> None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise UnexpectedReply(f"{host} answered in an encoding that nobody asked for")
        self._inflater = zlib.decompressobj(_GZIP) if encoding.endswith("gzip") else None
        # RFC 9112, 6.3: a body without either ends with the connection, wherever that breaks.
        self._is_end_known = bool({"content-length", "transfer-encoding"} & headers.keys())
        self._is_data = 200 <= status < 300
        self._host = host
        self._limits = limits
        self._raw_size = 0
        self._size = 0
        self._parts: list[bytes] = []
        self._refuse_over(limits.body_bytes, int(headers.get("content-length", 0)))

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk; UnexpectedReply as soon as a cap is passed."""
        self._raw_size += len(chunk)
        self._refuse_over(self._limits.body_bytes, self._raw_size)
        part = chunk if self._inflater is None else self._inflated(self._inflater, chunk)
        self._size += len(part)
        self._parts.append(part)

    def close(self) -> bytes:
        """Return the whole body; Unavailable when it was cut short."""
        if self._raw_size and self._inflater is not None and not self._inflater.eof:
            raise Unavailable(f"the answer of {self._host} was cut short: try again")
        if self._raw_size and self._is_data and not (self._is_end_known or self._inflater):
            raise UnexpectedReply(
                f"{self._host} does not say how long its answer is: check the proxies before it"
            )
        return b"".join(self._parts)

    def _inflated(self, inflater: "zlib._Decompress", chunk: bytes) -> bytes:
        ratio_cap = max(_RATIO_FLOOR, self._limits.inflation_ratio * self._raw_size)
        cap = min(self._limits.body_bytes, ratio_cap)
        try:
            part = inflater.decompress(chunk, cap - self._size + 1)
        except zlib.error:
            raise UnexpectedReply(f"{self._host} answered with broken gzip") from None
        self._refuse_over(cap, self._size + len(part))
        if inflater.unused_data:
            raise UnexpectedReply(f"{self._host} answered with more after the end of its gzip")
        return part

    def _refuse_over(self, cap: int, size: int) -> None:
        if size > cap:
            raise UnexpectedReply(f"the answer of {self._host} is larger than {cap:,} bytes")
