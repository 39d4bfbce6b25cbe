"""Sign-ins under way on a real database: one browser, one GitLab, one answer, ten minutes."""

import pytest

from labtrawl.store import sign_in_attempts
from labtrawl.store.engine import Connection, Database
from labtrawl.store.sign_in_attempts import Attempt, Wish, begin, keys_of, take
from tests.integration.store.table import rows, store

ATTEMPT = Attempt("main", Wish.TAKE_PART, "/me/records")


async def test_attempt_is_taken_by_its_browser_once(database: Database) -> None:
    async with store(database) as opened:
        keys = await opened.write(lambda c: begin(c, ATTEMPT, "mine"))
        assert keys is not None
        tried = [
            (keys.state, "theirs", "main"),
            (keys.state, "mine", "other"),
            ("another", "mine", "main"),
            (keys.state, "mine", "main"),
            (keys.state, "mine", "main"),
        ]
        found = [await opened.write(lambda c, t=each: take(c, *t)) for each in tried]  # type: ignore[misc]
        assert found == [None, None, None, ATTEMPT, None]
        assert keys == keys_of(keys.state, "mine")
        kept = str(await opened.read(lambda c: rows(c, "SELECT * FROM sign_in_attempt")))
        secrets = (keys.state, keys.verifier.reveal(), keys.nonce, "mine")
        assert [each in kept for each in secrets] == [False] * 4


async def test_attempt_is_over_after_ten_minutes_and_swept_by_the_next(database: Database) -> None:
    def late(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE sign_in_attempt SET expires_at = expires_at - 600000")

    async with store(database) as opened:
        keys = await opened.write(lambda c: begin(c, ATTEMPT, "mine"))
        assert keys is not None
        await opened.write(late)
        assert await opened.write(lambda c: take(c, keys.state, "mine", "main")) is None
        await opened.write(lambda c: begin(c, ATTEMPT, "mine"))
        assert await opened.read(lambda c: rows(c, "SELECT COUNT(*) FROM sign_in_attempt")) == [
            (1,)
        ]


async def test_attempts_have_a_most(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_attempts, "MOST_OPEN", 2)
    async with store(database) as opened:
        made = [await opened.write(lambda c: begin(c, ATTEMPT, "mine")) for _ in range(3)]
        assert [each is None for each in made] == [False, False, True]


def test_keys_differ_by_browser_state_and_purpose() -> None:
    made = [keys_of(state, browser) for state in ("a", "b") for browser in ("x", "y")]
    texts = [text for each in made for text in (each.verifier.reveal(), each.nonce)]
    assert len(set(texts)) == 8
    assert {len(each) for each in texts} == {43}
