"""Bytes to messages and back; pure, no I/O.

Objects may follow each other with or without white space and be cut anywhere. Each byte is examined
a bounded number of times however it was cut. Garbage costs itself only: reading goes on at the next
line or object that can be one.
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from labtrawl.protocol.messages import Envelope

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 32
# Beyond these nobody can say where the next object starts: the connection has to be closed.
HOPELESS_DEPTH: Final = 10_000
HOPELESS_FACTOR: Final = 4

_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
# What opens and closes nothing. Its length has a limit, for the matcher's own memory has none.
_PLAIN = re.compile(rb'(?:[^"{}\[\]\n]+|"[^"\\\n]*"){0,256}+')
_MEANING: Final = b'"{}[]\n'
_STRING_STOP = re.compile(rb'["\\\n]')
_SPACE: Final = b" \t\r\n"
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_NO_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_CLOSES = {ord("}"): ord("{"), ord("]"): ord("[")}
_OPENS_AFTER = {ord("{"): b":", ord("["): b"[,"}
_VALUE = ord("v")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that were no message; `fatal` where the stream cannot go on."""

    reason: str
    detail: str = ""
    fatal: bool = False


def encode(envelope: Envelope) -> bytes:
    """Return one line."""
    return _encoder.encode(envelope) + b"\n"


class Decoder:
    """Takes bytes as they come, gives messages in their order.

    Memory is bounded by `max_bytes` plus one read.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._buffer = bytearray()
        self._in_garbage = False
        self._begin(0)

    def _begin(self, position: int) -> None:
        """Forget all before `position`; what follows is between objects."""
        del self._buffer[:position]
        self._position = 0
        self._stack = bytearray()
        self._in_string = False
        self._last = 0
        self._newline = -1
        self._discarded = 0
        self._discarding = False
        self._oversize = False

    def feed(self, data: bytes) -> list[Envelope | Refused]:
        """Return what became whole with these bytes."""
        found: list[Envelope | Refused] = []
        if not self._buffer:
            data = self._take_lines(data, found)
            if not data:
                return found
        self._buffer += data
        are_lines = not found
        while (one := self._next()) is not None:
            found.append(one)
            if isinstance(one, Refused) and one.fatal:
                break
            if are_lines and not self._stack:
                are_lines = False
                rest = bytes(self._buffer).lstrip(_SPACE)
                self._buffer = bytearray(self._take_lines(rest, found))
        return found

    def _take_lines(self, data: bytes, found: list[Envelope | Refused]) -> bytes:
        """Take whole lines as our own peers send them; return what has to be looked at closely.

        Called at most twice a read, so that no byte is examined more often by that.
        """
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            envelope = self._plain(data[start:end])
            if envelope is None:
                break
            found.append(envelope)
            start = end + 1
        if start:
            self._in_garbage = False
        return data[start:]

    def _plain(self, line: bytes) -> Envelope | None:
        """Return the message of a line that is exactly one and surely not too deep, else None."""
        if len(line) > self._max_bytes or not self._is_surely_flat(line):
            return None
        try:
            str(line, "utf-8")
            return _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _is_surely_flat(self, line: bytes) -> bool:
        """Say whether the nesting is within the limit; False where that takes a closer look."""
        if line.count(b"{") + line.count(b"[") <= self._max_depth:
            return True
        if b"\\" in line:
            line = _ESCAPE.sub(b"", line)
        brackets = b"".join(line.translate(None, _NO_STRUCTURE).split(b'"')[::2])
        for _ in range(self._max_depth):
            if not brackets:
                return True
            brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        return not brackets

    def _next(self) -> Envelope | Refused | None:
        if not self._stack:
            refused = self._find_start()
            if refused or not self._stack:
                return refused
        return self._scan()

    def _find_start(self) -> Refused | None:
        """Skip to the next object; garbage on the way is told once, however it was cut."""
        match = _NOT_SPACE.search(self._buffer)
        if match is None:
            self._begin(len(self._buffer))
            return None
        start = self._buffer.find(b"{", match.start())
        told, self._in_garbage = self._in_garbage, start != match.start()
        if self._in_garbage and not told:
            self._begin(len(self._buffer) if start < 0 else start)
            return Refused("bad_message", "not a JSON object")
        if start < 0:
            self._begin(len(self._buffer))
            return None
        self._in_garbage = False
        self._begin(start)
        self._stack.append(ord("{"))
        self._last = ord("{")
        self._position = 1
        return None

    def _scan(self) -> Envelope | Refused | None:
        """Go on through the object in hand, to its end or to the end of what came."""
        while True:
            if self._in_string and (stop := self._scan_string()) is not None:
                return stop
            if self._in_string:
                return self._too_large()
            self._skip_plain()
            if self._position == len(self._buffer):
                return self._too_large()
            done = self._token(self._position)
            if done is not None:
                return done

    def _skip_plain(self) -> None:
        """Move on to the next byte that has a meaning, and keep in mind what stands before it."""
        if (match := _PLAIN.match(self._buffer, self._position)) is not None:
            self._position = match.end()
            if plain := match.group().rstrip():
                self._last = plain[-1] if plain[-1] in b":," else _VALUE

    def _scan_string(self) -> Refused | None:
        """Move to behind the closing quote; stay inside where it did not come yet."""
        while True:
            match = _STRING_STOP.search(self._buffer, self._position)
            if match is None:
                self._position = len(self._buffer)
                return None
            stop = match.start()
            byte = self._buffer[stop]
            if byte == ord('"'):
                self._in_string, self._last = False, _VALUE
                self._position = stop + 1
                return None
            if byte == ord("\n"):
                return self._give_up("a line break inside a string", stop)
            if stop + 1 >= len(self._buffer):
                self._position = stop
                return None
            self._position = stop + 2

    def _token(self, start: int) -> Envelope | Refused | None:
        byte = self._buffer[start]
        if byte not in _MEANING:
            return None
        self._position = start + 1
        if byte in b"{[":
            return self._open(byte, start)
        if byte in b"}]":
            return self._close(byte, start)
        if byte == ord('"'):
            self._in_string = True
        elif self._newline < 0:
            self._newline = start
        return None

    def _open(self, byte: int, start: int) -> Refused | None:
        if self._last not in _OPENS_AFTER[self._stack[-1]]:
            return self._give_up("an object that never ended", start)
        self._stack.append(byte)
        self._last = byte
        if len(self._stack) > HOPELESS_DEPTH:
            return Refused("too_deep", "no end in sight", fatal=True)
        if len(self._stack) > self._max_depth:
            self._discarding = True
        return None

    def _close(self, byte: int, start: int) -> Envelope | Refused | None:
        if self._stack[-1] != _CLOSES[byte]:
            return self._give_up("brackets that do not match", start + 1)
        self._stack.pop()
        self._last = _VALUE
        return None if self._stack else self._finish(start + 1)

    def _finish(self, end: int) -> Envelope | Refused:
        if self._discarding:
            reason = "message_too_large" if self._oversize else "too_deep"
            self._begin(end)
            return Refused(reason)
        raw = bytes(memoryview(self._buffer)[:end])
        if len(raw) > self._max_bytes:
            self._begin(end)
            return Refused("message_too_large")
        return self._decode(raw, end)

    def _decode(self, raw: bytes, end: int) -> Envelope | Refused:
        try:
            # The payload stays raw: nobody else would look at its bytes before it is used.
            str(raw, "utf-8")
            envelope = _decoder.decode(raw)
        except msgspec.ValidationError as error:
            self._begin(end)
            return Refused("bad_message", str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._give_up(str(error), end)
        self._begin(end)
        return envelope

    def _give_up(self, detail: str, end: int) -> Refused:
        """Drop the object in hand; go on at its second line, or at `end` where it has none."""
        self._begin(self._newline + 1 if self._newline >= 0 else end)
        return Refused("bad_message", detail)

    def _too_large(self) -> Refused | None:
        """Stop keeping the bytes of an object that outgrew the limit, but find its end."""
        if len(self._buffer) > self._max_bytes:
            self._discarding = self._oversize = True
        if not self._discarding:
            return None
        # Should it never end, reading goes on at its second line, as for any other garbage.
        is_kept = self._newline >= 0 and len(self._buffer) - self._newline <= self._max_bytes
        gone = self._newline if is_kept else self._position
        del self._buffer[:gone]
        self._discarded += gone
        self._position -= gone
        self._newline = 0 if is_kept else -1
        if self._discarded > self._max_bytes * HOPELESS_FACTOR:
            return Refused("message_too_large", "no end in sight", fatal=True)
        return None
