"""Notices over real sockets: raised once, signed, sent by webhook and mail, tried again, never lost."""

import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from labtrawl.clock import Clock, system_clock
from labtrawl.config.care import KINDS
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Unavailable
from labtrawl.http.mail import MailServer
from labtrawl.store import jobs, notices
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.notices import Delivery, Notice, NoticeRow
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.website.care import noticing
from labtrawl.website.care.channels import Channel, Mail, Unusable, Webhook
from labtrawl.website.care.looking import health_of
from labtrawl.website.care.notifier import GONE, Notifier
from labtrawl.website.given.care import BackupPlan, Care
from labtrawl.website.given.facts import GitLabFacts
from labtrawl.website.given.programs import Alone
from labtrawl.website.given.site import Site
from tests.integration.care.receivers import hooked, posting
from tests.integration.dispatch.visits import Site as Crawled
from tests.integration.http.wire import make_certificate
from tests.integration.store.table import account, area, claim, job
from tests.integration.website.running import Surroundings, site_of

SECRET = Secret("whsec_" + base64.b64encode(b"0123456789abcdefghijklmn").decode())
PASSWORD = "correct horse"
NOTICE = Notice("check:disk", "2026-11-22", "disk", "full: “1 MiB”", "1 MiB is free.\n.\nAct!")


def webhook(url: str, allow: tuple[str, ...] = ("127.0.0.1",)) -> Webhook:
    return Webhook(url, SECRET, allow, "https://labtrawl.example.org", "labtrawl/t", system_clock())


def mail(port: int, ca_file: Path | None, password: str = PASSWORD) -> Mail:
    server = MailServer("127.0.0.1", port, "starttls", ca_file, "ops", Secret(password))
    return Mail(server, "labtrawl@example.org", ("a@example.org", "b@example.org"), "https://l.org")


@dataclass
class Rounds:
    """A notifier without a loop of its own: a test takes the turns."""

    notifier: Notifier
    store: Store
    site: Site

    async def raised(self, notice: Notice = NOTICE) -> None:
        names = [each.name for each in self.notifier.channels]
        await self.store.write(lambda c: notices.raise_notice(c, notice, names))

    async def told(self) -> list[NoticeRow]:
        return await self.store.read(lambda c: notices.newest(c, 99))

    async def make_due(self) -> None:
        await self.store.write(
            lambda c: c.exec_driver_sql("UPDATE delivery SET due_at = 1 WHERE due_at IS NOT NULL")
        )


@contextlib.asynccontextmanager
async def rounds(
    tmp_path: Path, *channels: Channel, clock: Clock | None = None, care: Care | None = None
) -> AsyncIterator[Rounds]:
    """A site on a data folder, and the notifier beside it."""
    create_key_file(key_path(tmp_path))
    migrate(database_path(tmp_path))
    async with open_store(database_path(tmp_path)) as store:
        around = Surroundings(data_dir=tmp_path, care=care or Care())
        site = replace(site_of(store, around), clock=clock or system_clock(), programs=Alone())
        yield Rounds(Notifier(site, channels, frozenset(KINDS), "mon"), store, site)


async def test_notice_goes_over_both_channels_once_and_is_signed(tmp_path: Path) -> None:
    both, alone = make_certificate(tmp_path)
    async with hooked() as hook:
        async with posting(both, "ops", PASSWORD) as post:
            channels = (webhook(hook.url), mail(post.port, alone))
            async with rounds(tmp_path, *channels) as turns:
                await turns.raised()
                await turns.notifier.deliver()
                await turns.notifier.deliver()
                ((row,)) = await turns.told()
                ends = [(each.channel, each.state, each.result) for each in row.deliveries]
                assert ends == [
                    ("mail", "sent", "taken by the server"),
                    ("webhook", "sent", "answered 204"),
                ]
        ((headers, body),) = hook.posts
        assert headers[""] == "POST /hook?of=us HTTP/1.1"
        (told,) = hook.bodies
        number, at = headers["webhook-id"], headers["webhook-timestamp"]
        assert told["id"] == number == f"labtrawl-{row.raised_at}-{row.id}"
        assert (told["kind"], told["subject"], told["text"]) == (
            "disk",
            NOTICE.subject,
            NOTICE.body,
        )
        assert told["site"] == "https://labtrawl.example.org"
        signed = f"{number}.{at}.".encode() + body
        key = base64.b64decode(SECRET.reveal().removeprefix("whsec_"))
        right = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{right}"
        (envelope,) = post.mails
        assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=default)
        assert letter["Subject"] == f"labtrawl: {NOTICE.subject}"
        assert letter["Auto-Submitted"] == "auto-generated"
        assert (
            letter.get_content().replace("\r\n", "\n") == f"{NOTICE.body}\n\n-- \nhttps://l.org\n"
        )
        assert PASSWORD.encode() not in envelope.content + body


async def test_failing_webhook_is_tried_again_and_the_mail_is_not_sent_twice(
    tmp_path: Path,
) -> None:
    both, alone = make_certificate(tmp_path)
    async with hooked() as hook:
        hook.statuses = [500, 302]
        async with posting(both, "ops", PASSWORD) as post:
            channels = (webhook(hook.url), mail(post.port, alone))
            async with rounds(tmp_path, *channels) as turns:
                await turns.raised()
                for _ in range(4):
                    await turns.notifier.deliver()
                    await turns.make_due()
                ((row,)) = await turns.told()
        assert [(each.channel, each.state, each.attempts) for each in row.deliveries] == [
            ("mail", "sent", 1),
            ("webhook", "sent", 3),
        ]
        assert len({headers["webhook-id"] for headers, _ in hook.posts}) == 1
        assert len(post.mails) == 1


async def test_channel_that_is_down_is_asked_once_a_turn_and_given_up_in_the_end(
    tmp_path: Path,
) -> None:
    async with hooked() as hook:
        url = hook.url
    async with rounds(tmp_path, webhook(url)) as turns:
        await turns.raised()
        await turns.raised(replace(NOTICE, period="2026-11-23"))
        await turns.notifier.deliver()
        rows = await turns.told()
        assert sorted(each.deliveries[0].attempts for each in rows) == [0, 1]
        for _ in range(30):
            await turns.make_due()
            await turns.notifier.deliver()
        for row in await turns.told():
            (delivery,) = row.deliveries
            assert (delivery.state, delivery.attempts, delivery.due_at) == ("failed", 11, None)
        turns.notifier.channels = ()
        await turns.store.write(
            lambda c: notices.raise_notice(c, replace(NOTICE, period="x"), ["webhook"])
        )
        await turns.notifier.deliver()
        assert (await turns.told())[0].deliveries[0].result == GONE


@pytest.mark.parametrize("allow", [(), ("10.0.0.0/8",)])
async def test_webhook_goes_to_no_private_address_that_is_not_allowed(
    allow: tuple[str, ...],
) -> None:
    async with hooked() as hook:
        with pytest.raises(ConfigError, match="address_allow"):
            await webhook(hook.url, allow).send(Delivery(1, "webhook", 0, 0, NOTICE))
        assert hook.posts == []


async def test_mail_goes_to_nobody_whose_certificate_is_unknown(tmp_path: Path) -> None:
    both, alone = make_certificate(tmp_path)
    async with posting(both, "ops", PASSWORD) as post:
        for channel, told in (
            (mail(post.port, None), "TLS failed"),
            (mail(post.port, alone, "wrong"), "refuses the user or the password"),
        ):
            with pytest.raises(Unavailable, match=told) as refused:
                await channel.send(Delivery(1, "mail", 0, 0, NOTICE))
            assert "wrong" not in str(refused.value)
    async with posting(None, "ops", PASSWORD) as post:
        with pytest.raises(Unavailable, match="offers no TLS"):
            await mail(post.port, None).send(Delivery(1, "mail", 0, 0, NOTICE))
        assert post.mails == []


async def test_what_is_wrong_is_raised_once_a_day_and_by_kind(tmp_path: Path) -> None:
    broken = GitLabFacts("main", 1, "refused")
    plan = BackupPlan(tmp_path, 1.0, 1, 1.0)
    now = [0.0]
    clock = replace(system_clock(), monotonic=lambda: now[0])
    care = Care(gitlabs=lambda: [broken], backup=plan)
    async with rounds(tmp_path, clock=clock, care=care) as turns:
        await turns.store.write(lambda c: notices.ask_to_stop(c, "root@a.org", "stop", 9))
        for _ in range(3):
            await turns.notifier.look()
            now[0] += 1000
        kinds = [(row.kind, row.subject) for row in reversed(await turns.told())]
        assert kinds == [
            ("stop_requests", "Requests to stop: 1 wait for an answer"),
            ("health", "GitLab: main: refused"),
        ]
        turns.notifier.kinds = frozenset({"disk"})
        await turns.store.write(lambda c: c.exec_driver_sql("DELETE FROM notice"))
        await turns.notifier.look()
        assert await turns.told() == []


def fail_one(connection: Connection, number: int, reason: str) -> None:
    area_id = area(connection, number, {account(connection, 1): 30})
    job_id = job(connection, area_id)
    claim(connection, "c", f"c{number}")
    jobs.fail(connection, job_id, reason, f"it broke {number}")


async def test_request_that_was_told_today_is_not_told_by_the_check_too(tmp_path: Path) -> None:
    async with rounds(tmp_path) as turns:
        await turns.store.write(lambda c: notices.ask_to_stop(c, "root@a.org", "stop", 9))
        now = turns.site.clock.now_ms()
        for day, subjects in ((now - 86_400_000, 2), (now, 1)):
            await turns.store.write(lambda c: c.exec_driver_sql("DELETE FROM notice"))
            await turns.raised(noticing.of_stop_request(1, "root@a.org", "stop", day))
            await turns.notifier.look()
            told = [row for row in await turns.told() if row.kind == "stop_requests"]
            assert len(told) == subjects


async def test_channel_whose_secret_does_not_open_fails_with_that_reason(tmp_path: Path) -> None:
    async with rounds(tmp_path, Unusable("webhook", "its secret does not open")) as turns:
        await turns.raised()
        for _ in range(3):
            await turns.notifier.deliver()
            await turns.make_due()
        ((row,)) = await turns.told()
        (delivery,) = row.deliveries
        assert (delivery.attempts, delivery.result) == (3, "its secret does not open")
        checks = {each.name: each.says for each in (await health_of(turns.site)).checks}
        assert checks["notices"] == "1 of the last week did not arrive"


async def test_failed_jobs_are_one_notice_a_day_however_often_it_is_looked(tmp_path: Path) -> None:
    async with rounds(tmp_path) as turns:
        await turns.notifier.count()
        assert await turns.told() == []
        for number, reason in ((1, "unavailable"), (2, "unavailable"), (3, "forbidden")):
            await turns.store.write(lambda c, n=number, r=reason: fail_one(c, n, r))  # type: ignore[misc]
        await turns.notifier.count()
        await turns.store.write(lambda c: fail_one(c, 4, "unexpected_reply"))
        await turns.notifier.count()
        assert [(row.kind, row.subject) for row in await turns.told()] == [
            ("failures", "2 jobs failed")
        ]


async def test_digest_is_told_once_a_week_and_not_on_the_first_day(tmp_path: Path) -> None:
    monday = datetime(2026, 11, 23, 9, tzinfo=UTC)
    clock = replace(system_clock(), now=lambda: monday)
    async with rounds(tmp_path, clock=clock) as turns:
        turns.notifier.kinds = frozenset({"digest"})
        turns.notifier.tell_left("about 2 h")
        await turns.store.write(lambda c: job(c, area(c, 1, {account(c, 1): 30})))
        now = int(monday.timestamp() * 1000)
        for added, told in ((now - 3_600_000, 0), (now - 2 * 86_400_000, 1)):
            await turns.store.write(
                lambda c, a=added: c.exec_driver_sql("UPDATE instance SET added_at = ?", (a,))  # type: ignore[misc]
            )
            await turns.notifier.look()
            await turns.notifier.look()
            assert len(await turns.told()) == told
        ((row,)) = await turns.told()
        assert (row.kind, "Time left: about 2 h." in row.body) == ("digest", True)


async def test_discovery_that_fails_is_a_gap_that_is_told_and_one_of_a_lost_account_is_not(
    tmp_path: Path,
) -> None:
    async with rounds(tmp_path) as turns:
        crawled = Crawled(turns.store)
        lose = "UPDATE account SET state = 'refused' WHERE gitlab_user_id > 1"
        for user in (1, 2):
            await crawled.begin(user)
            await turns.notifier.count()
            found = await crawled.claim("discovery")
            failed = {"status": "failed", "reason": "forbidden", "error": "403 of lab/secret"}
            await crawled.report(found, **failed, retryable=False)
            await turns.store.write(lambda c: c.exec_driver_sql(lose))
            await turns.notifier.count()
        (told,) = await turns.told()
    assert (told.kind, told.subject, told.body) == (
        "gaps",
        "1 list has a gap",
        "1 list: discovery, what an account may see; the page Health says whose, and what to do\n\n"
        "The page Coverage shows them, and reads them again.",
    )


async def test_gap_that_was_there_at_the_start_is_no_news(tmp_path: Path) -> None:
    async with rounds(tmp_path) as turns:
        await turns.store.write(lambda c: job(c, area(c, 1, {account(c, 1): 30})))
        gap = "UPDATE ledger SET reason = 'failed'"
        await turns.store.write(lambda c: c.exec_driver_sql(gap))
        await turns.notifier.count()
        assert await turns.told() == []
        await turns.store.write(lambda c: job(c, area(c, 2, {account(c, 1): 30})))
        await turns.store.write(lambda c: c.exec_driver_sql(gap))
        await turns.notifier.count()
        await turns.notifier.count()
        assert [row.subject for row in await turns.told()] == ["2 lists have a gap"]
