"""Pairs on a real database: who renews, what is kept, and what a restart of a sign-in replaces."""

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.domain.job import HoldReason
from labtrawl.errors import Missing
from labtrawl.store import accounts, jobs, renewals
from labtrawl.store.accounts import SignedIn, VerifiedAccount
from labtrawl.store.engine import Connection, Database
from labtrawl.store.renewals import SealedPair, Turn
from labtrawl.store.secrets import Cipher, account_place
from tests.integration.store.table import area, job, rows, states, store

URL = "http://gitlab"
CIPHER = Cipher(bytes(32))
NEW = SealedPair("t1", "r1", 9_000_000, 8_000_000)


def sign_in(connection: Connection, source: str = "a", token: str = "t0") -> int:
    pair = SignedIn("main", URL, 7, token, f"r-{token}", 1_000_000, source)
    account_id = accounts.sign_in(connection, pair)
    verified = VerifiedAccount("main", URL, "19.3.0", 7, "ada", ("read_api",), "", source)
    assert accounts.record(connection, verified)[1] == account_id
    return account_id


async def test_pair_is_renewed_from_the_version_that_was_read_or_not_at_all(
    database: Database,
) -> None:
    async with store(database) as db:
        account_id = await db.write(sign_in)
        assert await db.write(lambda c: renewals.begin(c, account_id, 0, 1_000)) is Turn.OURS
        assert await db.write(lambda c: renewals.begin(c, account_id, 0, 2_000)) is Turn.ANOTHERS
        # Who began a minute ago is dead.
        assert await db.write(lambda c: renewals.begin(c, account_id, 0, 61_000)) is Turn.OURS
        assert await db.write(lambda c: renewals.keep(c, account_id, 0, NEW))
        assert not await db.write(lambda c: renewals.keep(c, account_id, 0, NEW))
        assert await db.write(lambda c: renewals.begin(c, account_id, 0, 62_000)) is Turn.DONE
        pair = await db.read(lambda c: renewals.pair_of(c, account_id))
        assert (pair.token, pair.refresh_token, pair.version, pair.began_at) == (
            "t1",
            "r1",
            1,
            None,
        )
        await db.write(lambda c: renewals.begin(c, account_id, 1, 63_000))
        await db.write(renewals.release_all)
        assert await db.write(lambda c: renewals.begin(c, account_id, 1, 63_001)) is Turn.OURS
        with pytest.raises(Missing, match="no account 99"):
            await db.read(lambda c: renewals.pair_of(c, 99))


async def test_restart_keeps_the_newer_pair_and_another_sign_in_replaces_it(
    database: Database,
) -> None:
    async with store(database) as db:
        account_id = await db.write(sign_in)
        await db.write(lambda c: renewals.keep(c, account_id, 0, NEW))
        assert await db.read(lambda c: renewals.find_source(c, "main", "a")) == account_id
        assert await db.read(lambda c: renewals.find_source(c, "main", "b")) is None
        assert await db.read(lambda c: renewals.find_source(c, "other", "a")) is None
        # What GitLab accepted again is recorded, and the pair is left alone.
        verified = VerifiedAccount("main", URL, "19.4.0", 7, "ada2", ("read_api",), "", "a")
        await db.write(lambda c: accounts.record(c, verified))
        pair = await db.read(lambda c: renewals.pair_of(c, account_id))
        assert (pair.token, pair.version, pair.username) == ("t1", 1, "ada2")

        assert await db.write(lambda c: sign_in(c, "b", "t2")) == account_id
        pair = await db.read(lambda c: renewals.pair_of(c, account_id))
        assert (pair.token, pair.refresh_token, pair.version) == ("t2", "r-t2", 2)
        # An answer to the sign-in before comes too late.
        assert not await db.write(lambda c: renewals.keep(c, account_id, 1, NEW))


async def test_token_made_by_hand_takes_the_place_of_a_pair(database: Database) -> None:
    async with store(database) as db:
        account_id = await db.write(sign_in)
        by_hand = VerifiedAccount("main", URL, "19.3.0", 7, "ada", (), "t9", "c")
        await db.write(lambda c: accounts.record(c, by_hand))
        pair = await db.read(lambda c: renewals.pair_of(c, account_id))
        assert (pair.token, pair.refresh_token, pair.expires_at, pair.renew_at) == (
            "t9",
            "",
            None,
            None,
        )
        assert await db.write(lambda c: accounts.refuse(c, account_id))
        assert await db.read(lambda c: rows(c, "SELECT state FROM account")) == [("refused",)]


async def test_refusal_of_one_job_ends_no_account_that_can_be_renewed(database: Database) -> None:
    async with store(database) as db:
        account_id = await db.write(sign_in)
        assert not await db.write(lambda c: accounts.refuse(c, account_id))
        assert await db.read(lambda c: renewals.due(c, 699_999)) == []
        assert await db.read(lambda c: renewals.due(c, 700_000)) == [(account_id, 0)]
        await db.write(lambda c: renewals.expire(c, account_id, 0, 5))
        assert await db.read(lambda c: renewals.due(c, 5)) == [(account_id, 0)]
        await db.write(lambda c: renewals.give_up(c, account_id, 0))
        assert await db.read(lambda c: renewals.due(c, 5)) == []


async def test_jobs_that_are_held_for_a_valid_pair_are_found(database: Database) -> None:
    async with store(database) as db:
        account_id = await db.write(sign_in)
        job_id = await db.write(lambda c: job(c, area(c, 7, {account_id: 30})))
        assert await db.read(lambda c: renewals.waited_for(c, 0)) == []
        await db.write(lambda c: jobs.hold(c, job_id, HoldReason.CREDENTIAL))
        (pair,) = await db.read(lambda c: renewals.waited_for(c, 0))
        assert pair.account_id == account_id
        assert await db.read(lambda c: renewals.waited_for(c, 1_000_000)) == []
        assert await db.read(states) == ["held"]


async def test_texts_come_under_the_current_key_and_what_does_not_open_stays(
    database: Database,
) -> None:
    async with store(database) as db:
        account_id = await db.write(sign_in)
        ring = Cipher(bytes([1]) * 32, older=[bytes(32)])
        assert await db.write(lambda c: renewals.encrypt_again(c, ring)) == (0, 1)
        tokens = [
            CIPHER.encrypt(Secret("x"), account_place(URL, 7, column))
            for column in ("token", "refresh_token")
        ]
        pair = SealedPair(tokens[0], tokens[1], 1, 1)
        await db.write(lambda c: renewals.keep(c, account_id, 0, pair))
        assert await db.write(lambda c: renewals.encrypt_again(c, ring)) == (1, 0)
        assert await db.write(lambda c: renewals.encrypt_again(c, ring)) == (0, 0)
        texts = await db.read(renewals.texts)
        assert {each.split(":")[2] for each in texts} == {ring.key_id}
        # A token in the place of the refresh token does not open: the column is bound.
        swapped = SealedPair(texts[1], texts[0], 1, 1)
        await db.write(lambda c: renewals.keep(c, account_id, 1, swapped))
        newer = Cipher(bytes([2]) * 32, older=[bytes([1]) * 32])
        assert await db.write(lambda c: renewals.encrypt_again(c, newer)) == (0, 1)
