"""What the pages say, from a real database."""

import re

import pytest
from sqlalchemy import Connection

from labtrawl.store import commands, jobs
from labtrawl.store.commands import EVERY_CRAWLER, Wanted
from tests.integration.website import world
from tests.integration.website.conftest import Client


def rows(text: str) -> list[int]:
    return [int(each) for each in re.findall(r'<tr id="job-(\d+)"', text)]


def statuses(text: str) -> list[str]:
    """What the page says was done."""
    return re.findall(r'<p class="card told" role="status">(.*?)</p>', text)


async def every_row(admin: Client, path: str, link: str) -> list[int]:
    found: list[int] = []
    while True:
        page = (await admin.get(path)).text
        found += rows(page)
        following = re.search(rf'id="{link}"[^>]* href="([^"]+)"', page)
        if following is None:
            return found
        path = following[1].replace("&amp;", "&")


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("", "1"),
        ("?state=completed", "state = 'completed'"),
        ("?resource=commits", "resource = 'commits'"),
        ("?resource=issues&state=queued", "resource = 'issues' AND state = 'queued'"),
        ("?kind=group", "area_id IN (SELECT id FROM area WHERE kind = 'group')"),
        ("?area=lamp-room", "area_id IN (SELECT id FROM area WHERE full_path LIKE '%lamp-room%')"),
        ("?area=kelp/&state=failed&kind=project", "state = 'failed' AND area_id IN"
         " (SELECT id FROM area WHERE full_path LIKE '%kelp/%' AND kind = 'project')"),
        ("?area=%25", "0"),
    ],
)  # fmt: skip
async def test_list_of_jobs_filtered_shows_each_match_once(
    admin: Client, query: str, condition: str
) -> None:
    await admin.write(world.build)
    sql = f"SELECT id FROM job WHERE {condition} ORDER BY id DESC"
    wanted = await admin.write(lambda c: c.exec_driver_sql(sql).scalars().all())
    assert await every_row(admin, f"/jobs{query}", "page-next") == wanted


async def test_list_of_jobs_backwards_shows_the_same_pages(admin: Client) -> None:
    await admin.write(world.build)
    last = (await admin.get("/jobs?after=30")).text
    found = await every_row(admin, "/jobs?after=30", "page-previous")
    assert rows(last) == list(range(29, 0, -1))
    assert sorted(found) == list(range(1, 830))


async def test_facets_count_what_the_rest_of_the_filter_matches(admin: Client) -> None:
    await admin.write(world.build)
    page = (await admin.get("/jobs?state=failed&resource=commits")).text
    sql = "SELECT state, COUNT(*) FROM job WHERE resource = 'commits' GROUP BY state"
    wanted = await admin.write(lambda c: c.exec_driver_sql(sql).all())
    shown = re.findall(r'id="facet-(\w+)".*?<span class="amount">([\d,]+)</span>', page)
    counts = {state: int(number) for state, number in shown}
    assert counts.pop("all") == 48
    assert {state: number for state, number in counts.items() if number} == dict(wanted)


async def test_areas_come_in_the_order_of_the_tree(admin: Client) -> None:
    def plant(connection: Connection) -> None:
        for number, path in enumerate(("a", "a-b", "a/z", "a.c", "a/b/c", "a/b")):
            world.one_job(connection, "issues", path)
            connection.exec_driver_sql(
                "UPDATE area SET gitlab_id = ? WHERE gitlab_id = 99", (number,)
            )

    await admin.write(plant)
    page = (await admin.get("/areas")).text
    paths = re.findall(r'<bdi class="small path">([^ ]*?)</bdi>', page)
    assert [each.replace("<wbr>", "") for each in paths] == [
        "a",
        "a/b",
        "a/b/c",
        "a/z",
        "a-b",
        "a.c",
    ]


async def test_unexplained_list_is_told_by_that_word_where_others_have_their_reason(
    admin: Client,
) -> None:
    job_id = await admin.write(world.one_job)
    ended = "UPDATE job SET state = 'completed', run_after = NULL, finished_at = updated_at"
    await admin.write(lambda c: c.exec_driver_sql(ended))
    less = "UPDATE ledger SET expected = 3, collected = 2, completed_at = updated_at"
    await admin.write(lambda c: c.exec_driver_sql(less))
    (area,) = re.findall(r'id="area-(\d+)"', (await admin.get("/coverage")).text)
    assert (
        '1 list has a gap, 1 of them unexplained: see the <a id="whole-coverage"'
        in (await admin.get("/")).text
    )
    assert '>1 <span class="small">1 unexplained</span></td>' in (await admin.get("/areas")).text
    assert (
        f'title="2 of 3 records: unexplained"><a id="cell-{area}-issues" href="/jobs/{job_id}">'
        '<span class="figure">2</span><span class="words">66 %, unexplained</span></a></td>'
    ) in (await admin.get("/coverage")).text
    page = (await admin.get(f"/areas/{area}")).text
    assert '<dt>Gaps</dt><dd>1 <span class="small">1 unexplained</span></dd>' in page
    why = "What is there is not what GitLab announced, and nobody knows why. Read it again."
    assert f"Unexplained: {why}</td>" in page
    assert f'action="/areas/{area}/refill"' in page


async def test_coverage_pages_hold_each_area_once(admin: Client) -> None:
    await admin.write(world.build)
    found: list[str] = []
    path = "/coverage"
    while path:
        page = (await admin.get(path)).text
        found += re.findall(r'id="area-(\d+)"', page)
        following = re.search(r'id="page-next"[^>]* href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else ""
    assert sorted(map(int, found)) == list(range(2, 62))


async def test_text_from_gitlab_stays_text(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, job_id, "forbidden", world.HOSTILE))
    await admin.write(
        lambda c: c.exec_driver_sql(
            "UPDATE area SET name = ?, full_path = ?", (world.HOSTILE, "a<b/\x07")
        )
    )
    for path in ("/", "/jobs", f"/jobs/{job_id}", "/areas", "/areas/1", "/coverage"):
        text = (await admin.get(path)).text
        assert "<script>alert" not in text
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text)


@pytest.mark.seed("S1.30", "S1.31")
async def test_retry_queues_a_failed_job_and_refuses_others(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    early = await admin.post(f"/jobs/{job_id}/retry")
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, job_id, "unavailable", "502"))
    done = await admin.post(f"/jobs/{job_id}/retry")
    state = await admin.write(lambda c: c.exec_driver_sql("SELECT state FROM job").scalar())
    assert (early.status, done.status, state) == (409, 303, "queued")


async def test_gaps_are_read_again_by_a_button_of_the_coverage(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, job_id, "unavailable", "502"))
    assert 'action="/coverage/refill"' in (await admin.get("/coverage")).text
    done = await admin.post("/coverage/refill")
    row = await admin.write(lambda c: c.exec_driver_sql("SELECT state, mode FROM job").one())
    assert (done.status, tuple(row)) == (303, ("queued", "sweep"))
    again = await admin.post("/coverage/refill")
    assert [
        statuses((await admin.get(reply.headers["location"])).text) for reply in (done, again)
    ] == [
        ["1 list is read again, as soon as a crawler is free."],
        ["No list is read again: what can be read again is being read already."],
    ]
    assert statuses((await admin.get("/coverage")).text) == []


async def test_gaps_of_one_area_are_read_again_by_a_button_of_its_page(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    await admin.write(world.start)
    area = await admin.write(lambda c: c.exec_driver_sql("SELECT area_id FROM job").scalar())
    assert "/refill" not in (await admin.get(f"/areas/{area}")).text
    await admin.write(lambda c: jobs.fail(c, job_id, "unavailable", "502"))
    await admin.write(
        lambda c: c.exec_driver_sql(
            "UPDATE ledger SET reason = 'failed' WHERE job_id = ?", (job_id,)
        )
    )
    assert f'action="/areas/{area}/refill"' in (await admin.get(f"/areas/{area}")).text
    done = await admin.post(f"/areas/{area}/refill")
    row = await admin.write(lambda c: c.exec_driver_sql("SELECT state, mode FROM job").one())
    assert (done.status, done.headers["location"]) == (303, f"/areas/{area}?lists=1")
    assert tuple(row) == ("queued", "sweep")
    assert statuses((await admin.get(done.headers["location"])).text) == [
        "1 list is read again, as soon as a crawler is free."
    ]
    assert (await admin.post("/areas/99/refill")).status == 404


async def test_list_that_gitlab_refuses_is_shown_as_refused_and_not_as_a_failure(
    admin: Client,
) -> None:
    job_id = await admin.write(world.one_job)
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, job_id, "forbidden", "403"))
    for path in ("/jobs", f"/jobs/{job_id}"):
        text = (await admin.get(path)).text
        assert re.search(r'<span class="badge refused">.*?</svg>Forbidden</span>', text)
        assert not re.search(r'class="[^"]*\b(badge failed|bad)\b', text)
    await admin.write(lambda c: c.exec_driver_sql("UPDATE job SET error_reason = 'failed'"))
    assert '<span class="badge failed">' in (await admin.get(f"/jobs/{job_id}")).text


@pytest.mark.parametrize(
    ("reason", "counts", "listed", "alone"),
    [
        ("forbidden", (0, 1), ["1 refused"], ["1 refused"]),
        ("failed", (1, 0), ["1 failed"], []),
    ],
)
async def test_area_tells_what_was_refused_apart_from_what_failed(
    admin: Client, reason: str, counts: tuple[int, int], listed: list[str], alone: list[str]
) -> None:
    job_id = await admin.write(world.one_job)
    area = await admin.write(lambda c: c.exec_driver_sql("SELECT area_id FROM job").scalar())
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, job_id, reason, "403"))
    await admin.write(lambda c: c.exec_driver_sql("UPDATE job SET error_reason = ?", (reason,)))
    _, told = await admin.json("GET", f"/api/v1/areas/{area}")
    pages = [(await admin.get(path)).text for path in ("/areas", f"/areas/{area}")]
    assert (told["area"]["total"]["jobs_failed"], told["area"]["total"]["jobs_refused"]) == counts
    assert [re.findall(r"\d+ (?:failed|refused)", page) for page in pages] == [listed, alone]


async def test_refusal_is_named_once_in_a_row_and_wrote_no_file(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, job_id, "forbidden", "403: no"))
    row = re.search(rf'<tr id="job-{job_id}".*?</tr>', (await admin.get("/jobs")).text, re.DOTALL)
    assert row is not None
    assert (row[0].count("Forbidden"), row[0].count("403: no")) == (1, 1)
    page = (await admin.get(f"/jobs/{job_id}")).text
    assert ("It wrote no file." in page, "No file is committed yet" in page) == (True, False)


async def test_page_of_an_area_does_not_name_it_in_each_row_of_its_jobs(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    area = await admin.write(lambda c: c.exec_driver_sql("SELECT area_id FROM job").scalar())
    link = f'id="job-{job_id}-area"'
    listed, alone = (await admin.get("/jobs")).text, (await admin.get(f"/areas/{area}")).text
    assert (link in listed, link in alone, rows(alone)) == (True, False, [job_id])


async def test_action_that_is_offered_first_can_be_done_to_jobs_of_that_state(
    admin: Client,
) -> None:
    await admin.write(world.build)
    first = {}
    for state in ("", "queued", "running", "held", "failed", "cancelled"):
        page = (await admin.get(f"/jobs?state={state}")).text
        menu = re.search(r'<select id="bulk-action".*?</select>', page, re.DOTALL)
        first[state] = re.findall(r'value="([a-z]+)" selected', menu[0] if menu else "")
    assert first == {
        "": ["retry"],
        "queued": ["pause"],
        "running": ["pause"],
        "held": ["resume"],
        "failed": ["retry"],
        "cancelled": ["retry"],
    }


async def test_coverage_tells_how_many_lists_need_no_look(admin: Client) -> None:
    await admin.write(world.build)
    page = (await admin.get("/coverage")).text
    rows = re.findall(r'<tr role="row"><th scope="row".*?</tr>', page, re.DOTALL)
    assert rows
    for row in rows:
        looks = re.findall(r'<td role="cell" class="([^"]*)" data-name', row)
        whole = sum(look in ("level-10", "void") for look in looks)
        assert f'<span class="done">{whole} of {len(looks)} complete</span>' in row


async def test_retry_of_a_list_that_another_job_reads_names_it(admin: Client) -> None:
    first = await admin.write(world.one_job)
    await admin.write(world.start)
    await admin.write(lambda c: jobs.fail(c, first, "unavailable", "502"))
    second = await admin.write(world.one_job)
    reply = await admin.post(f"/jobs/{first}/retry")
    assert (reply.status, f"Job {second} reads the same list" in reply.text) == (409, True)


@pytest.mark.seed("S2.104")
async def test_overview_says_which_crawlers_are_paused_and_why_nothing_begins(
    admin: Client,
) -> None:
    def wish(connection: Connection) -> None:
        commands.register(connection, "crawler-1", "supervisor")
        commands.want(connection, EVERY_CRAWLER, Wanted.PAUSE)

    before = await admin.get("/")
    await admin.write(wish)
    after = await admin.get("/")
    told = ("Paused</span>", "Every crawler is paused or drained")
    assert [words in before.text for words in told] == [False, False]
    assert [words in after.text for words in told] == [True, True]


async def test_overview_groups_failures_by_cause_not_by_address(admin: Client) -> None:
    """Of many failures one cause is told, with how often, and a way to one of them."""
    failed = (
        "500 Internal Server Error: GitLab failed at /api/v4/projects/{}/milestones?per_page=100"
    )
    said = [("failed", failed.format(area)) for area in (4711, 17, 2700)]
    said += [("failed", "502 Bad Gateway: GitLab failed at /api/v4/groups/9/labels")]
    said += [("forbidden", "GitLab's GraphQL shows no such <project>")]

    def fail(connection: Connection) -> list[int]:
        world.build(connection, projects=1)
        connection.exec_driver_sql(
            "UPDATE job SET state = 'cancelled', error_reason = NULL WHERE state = 'failed'"
        )
        open_ones = "SELECT id FROM job WHERE state IN ('queued', 'held', 'running') ORDER BY id"
        numbers = connection.exec_driver_sql(open_ones).scalars().all()[: len(said)]
        for number, (reason, message) in zip(numbers, said, strict=True):
            jobs.fail(connection, number, reason, message)
        return list(numbers)

    numbers = await admin.write(fail)
    _, told = await admin.json("GET", "/api/v1/overview")
    groups = {each["reason"]: each for each in told["overview"]["now"]["failures"]}
    assert {name: (each["number"], each["causes"]) for name, each in groups.items()} == {
        "failed": (
            4,
            [
                {
                    "words": "500 Internal Server Error: GitLab failed at …",
                    "number": 3,
                    "newest_id": numbers[2],
                },
                {
                    "words": "502 Bad Gateway: GitLab failed at …",
                    "number": 1,
                    "newest_id": numbers[3],
                },
            ],
        ),
        "forbidden": (1, [{"words": said[4][1], "number": 1, "newest_id": numbers[4]}]),
    }
    page = (await admin.get("/")).text
    assert (
        "3 \N{MULTIPLICATION SIGN} <bdi>500 Internal Server Error: GitLab failed at …</bdi>" in page
    )
    assert f'href="/jobs/{numbers[2]}"' in page
    assert "shows no such &lt;project&gt;" in page
