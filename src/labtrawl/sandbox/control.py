"""What tests and demos ask of the look-alike itself, under ``/-/sandbox/``.

Entered by the app. These requests are never counted, hit by faults or held back.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from labtrawl.sandbox.changes import Unfit, decode_changes, decode_script
from labtrawl.sandbox.faults import Mischief, decode_faults
from labtrawl.sandbox.living import LivingWorld
from labtrawl.sandbox.oauth import Provider, decode_rules
from labtrawl.sandbox.tally import Tally
from labtrawl.sandbox.wire import Refused, Reply, json_reply

_NOT_FOUND = Refused(404, {"error": "404 Not Found"}).reply


class Control:
    """Answers the control requests; every refusal is a 400 with one sentence."""

    def __init__(
        self, living: LivingWorld, tally: Tally, mischief: Mischief, provider: Provider
    ) -> None:
        self._living = living
        self._tally = tally
        self._mischief = mischief
        self._provider = provider
        self._table: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "requests"): lambda _: tally.body(),
            ("GET", "requests/seconds"): lambda _: tally.seconds(),
            ("DELETE", "requests"): self._forget_requests,
            ("POST", "faults"): self._arm,
            ("DELETE", "faults"): self._disarm,
            ("POST", "changes"): lambda body: living.change(decode_changes(body)),
            ("POST", "script"): self._plan,
            ("DELETE", "script"): self._forget_script,
            ("GET", "oauth"): lambda _: provider.body(),
            ("POST", "oauth"): self._change_rules,
            ("DELETE", "oauth"): self._forget_counts,
        }

    def answer(self, method: str, name: str, body: bytes) -> Reply:
        """Answer one control request; `name` is what follows ``/-/sandbox/``."""
        if (method, name) == ("GET", "health"):
            return Reply(200, b"ok", [], b"text/plain")
        act = self._table.get((method, name))
        if act is None:
            return _NOT_FOUND
        try:
            return json_reply(act(body))
        except (msgspec.DecodeError, Unfit) as error:
            return Refused(400, {"error": str(error)}).reply

    def _forget_requests(self, _: bytes) -> object:
        self._tally.clear()
        return self._tally.body()

    def _arm(self, body: bytes) -> object:
        faults = decode_faults(body)
        self._mischief.arm(faults)
        return faults

    def _disarm(self, _: bytes) -> object:
        self._mischief.clear()
        return []

    def _plan(self, body: bytes) -> object:
        planned = decode_script(body)
        self._living.script.add(planned)
        return planned

    def _forget_script(self, _: bytes) -> object:
        self._living.script.clear()
        return []

    def _change_rules(self, body: bytes) -> object:
        self._provider.change(decode_rules(body))
        return self._provider.body()

    def _forget_counts(self, _: bytes) -> object:
        self._provider.forget_counts()
        return self._provider.body()
