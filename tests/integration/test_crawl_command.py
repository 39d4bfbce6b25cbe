"""`labtrawl crawl` in this process: where it may point, what it keeps, and how it says no."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labtrawl.cli.main import labtrawl
from labtrawl.errors import ConfigError, Forbidden, LabtrawlError, Unauthorized
from labtrawl.sandbox import Add, Edit, Fault, Move, Options, build_world
from labtrawl.store.engine import database_path, open_snapshots
from tests.integration.faults.crawling import ONE, OTHER, SIZES, WORLD
from tests.rig.crawled import Key, assert_is_current, assert_is_truth
from tests.rig.private import write_private
from tests.rig.served import Served, served

FEW = ("--resources", "issues,labels")


def few(key: Key) -> bool:
    return key[2] in ("issues", "labels")


@pytest.fixture(scope="module")
def gitlab() -> Iterator[Served]:
    """One that no test changes."""
    with served(WORLD, Options(enterprise=False, version="18.5.0")) as there:
        yield there


def crawl(folder: Path, url: str, token: str, *flags: str, once: bool = True) -> Result:
    """Run the command on folder/out; it ends when all is there."""
    file = folder / "token"
    write_private(file, token + "\n")
    words = ["crawl", url, "--token-file", str(file), "--out", str(folder / "out"), *flags]
    words += ["--once"] if once else []
    return CliRunner().invoke(labtrawl, words, standalone_mode=False)


def code_of(result: Result) -> int:
    """The exit code of a crawl that was no refusal."""
    if result.exception is not None:
        raise result.exception
    code: int = result.return_value
    return code


def refusal(result: Result) -> LabtrawlError:
    """The error that main tells in one sentence."""
    found: BaseException | None = result.exception
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, LabtrawlError), (result.output, result.exception)
    return found


# ---------------------------------------------------------------- where it may point


def test_crawl_of_an_instance_equals_the_truth_and_says_so(tmp_path: Path, gitlab: Served) -> None:
    summary = tmp_path / "summary.json"
    done = crawl(tmp_path, gitlab.url, gitlab.token, "--summary", str(summary))
    assert code_of(done) == 0
    assert_is_truth(tmp_path / "out", gitlab.truth())
    told = json.loads(summary.read_text())
    counts = {**gitlab.truth().counts()}
    assert counts.pop("total") == sum(counts.values())
    assert (told["schema"], told["complete"], told["exit_code"]) == (1, True, 0)
    assert {name: n for name, n in told["records"].items() if n} == {
        name: n for name, n in counts.items() if n
    }
    assert told["new_records"] == sum(counts.values())
    assert told["areas"] == {"group": 1, "project": 2}
    said = re.sub(r" +", " ", done.stdout)
    assert f"\ncomplete {sum(counts.values()):,} records of 2 projects and 1 group\n" in said
    assert f"\nissues 2 {counts['issues']}\n" in said
    assert re.search(r"\ndata \S+/out/dataset\n", said)
    assert re.search(
        r"\ntables \S.* dataset export parquet --out tables --data-dir \S+/out\n", said
    )


@pytest.mark.parametrize(
    ("path", "areas"),
    [
        ("/", {"group": 1, "project": 2}),
        ("/fjordlab", {"group": 1, "project": 2}),
        ("/groups/fjordlab/-/issues?state=all#x", {"group": 1, "project": 2}),
        ("/fjordlab/handbook", {"project": 1}),
        ("/fjordlab/handbook.git", {"project": 1}),
        ("/fjordlab/handbook/-/issues/1", {"project": 1}),
        ("/FjordLab/Handbook/", {"project": 1}),
    ],
)
def test_crawl_takes_what_the_url_names(
    tmp_path: Path, gitlab: Served, path: str, areas: dict[str, int]
) -> None:
    summary = tmp_path / "summary.json"
    done = crawl(tmp_path, gitlab.url + path, gitlab.token, *FEW, "--summary", str(summary))
    assert code_of(done) == 0
    assert json.loads(summary.read_text())["areas"] == areas
    ids = {ONE.id, OTHER.id} if len(areas) == 2 else {ONE.id}
    assert_is_truth(
        tmp_path / "out",
        gitlab.truth(),
        lambda key: few(key) and (key[1] in ids or (key[0] == "group" and len(areas) == 2)),
    )


def free_port(family: int, host: str) -> int:
    with socket.socket(family) as one:
        one.bind((host, 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_crawl_of_a_gitlab_at_a_private_address_by_another_name(tmp_path: Path, host: str) -> None:
    with served(WORLD, host=host) as there:
        url = there.url.replace("127.0.0.1", "localhost")
        assert code_of(crawl(tmp_path, f"{url}/fjordlab", there.token, *FEW)) == 0
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_crawl_of_a_gitlab_below_a_path(tmp_path: Path) -> None:
    port = free_port(socket.AF_INET, "127.0.0.1")
    base = f"http://127.0.0.1:{port}/code/gitlab"
    with served(WORLD, Options(external_url=base), port=port) as there:
        assert code_of(crawl(tmp_path, f"{base}/fjordlab/handbook", there.token, *FEW)) == 0
        assert_is_truth(tmp_path / "out", there.truth(), lambda key: few(key) and key[1] == ONE.id)


def test_crawl_of_a_project_that_was_renamed_finds_it_by_both_names(tmp_path: Path) -> None:
    with served(WORLD) as there:
        there.change(Move(what="project", key=ONE.id, path="manual"))
        assert code_of(crawl(tmp_path, f"{there.url}/fjordlab/handbook", there.token, *FEW)) == 0
        assert_is_truth(tmp_path / "out", there.truth(), lambda key: few(key) and key[1] == ONE.id)


def test_crawl_into_a_folder_whose_path_is_too_long_for_a_socket(
    tmp_path: Path, gitlab: Served
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    assert code_of(crawl(deep, f"{gitlab.url}/fjordlab/handbook", gitlab.token, *FEW)) == 0


@pytest.mark.parametrize("way", ["url", "include"])
def test_group_that_is_renamed_is_crawled_on_under_the_name_that_was_given(
    tmp_path: Path, way: str
) -> None:
    """GitLab has no way from a group's old path to the new one: the id is known from before."""
    with served(WORLD) as there:
        group = next(one for one in WORLD.groups if one.full_path == "fjordlab")
        project = there.url + "/fjordlab/handbook"
        few = ("--resources", "labels")
        named = {
            "url": (f"{there.url}/fjordlab", few),
            "include": (project, (*few, "--include", "fjordlab")),
        }
        url, flags = named[way]
        assert code_of(crawl(tmp_path, url, there.token, *flags)) == 0
        there.change(
            Move(what="group", key=group.id, path="newlab", name="New Lab"),
            Add(what="project", group=group.id, fields={"path": "late", "name": "Late"}),
        )
        assert code_of(crawl(tmp_path, url, there.token, *flags)) == 0
        assert_is_current(tmp_path / "out", there.truth(), lambda key: key[2] == "labels")
    with open_snapshots(database_path(tmp_path / "out")) as database:
        paths = database.read_now(
            lambda c: c.exec_driver_sql("SELECT full_path FROM area WHERE kind = 'project'").all()
        )
    assert sorted(path for (path,) in paths if path.endswith("/late")) == ["newlab/late"]
    assert {path.split("/")[0] for (path,) in paths} == {"newlab"}


# ---------------------------------------------------------------- what is chosen


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--every", "nan", "--every: nan is no interval; give 0.1 to 31,536,000 seconds"),
        ("--every", "inf", "--every: inf is no interval; give 0.1 to 31,536,000 seconds"),
        ("--include", "", "--include: '' is no path; give one like group/project, "),
        ("--include", "/", "--include: '/' is no path; give one like group/project, "),
        ("--include", "https://g.example/a", "--include: 'https://g.example/a' is no path; "),
        ("--exclude", "", "--exclude: '' is no pattern; give one like group/old-*, "),
        ("--exclude", "https://g.example/a", "--exclude: 'https://g.example/a' is no pattern; "),
        ("--resources", " ,", "--resources: no name is given; leave the flag out for all"),
        ("--resources", "", "--resources: no name is given; leave the flag out for all"),
        ("--resources", "!*", "--resources: !* leaves nothing; name what to collect"),
        ("--resources", "issues,!*", "--resources: issues,!* leaves nothing; name what to collect"),
        ("--contact", "a\nb", "--contact: it goes into each request; give an e-mail address or "),
        ("--since", "2999-01-01", "--since: that day is still to come; nothing changed since then"),
    ],
)
def test_value_that_cannot_be_meant_is_refused_before_anything_is_asked(
    tmp_path: Path, flag: str, value: str, said: str
) -> None:
    refused = refusal(crawl(tmp_path, "http://127.0.0.1:1", "glpat-x", flag, value))
    assert isinstance(refused, ConfigError)
    assert str(refused).startswith(said)
    assert not (tmp_path / "out").exists()


def test_include_and_exclude_bound_what_is_found(tmp_path: Path, gitlab: Served) -> None:
    project = f"{gitlab.url}/fjordlab/handbook"
    flags = ("--include", "fjordlab", "--exclude", "*/web*")
    assert code_of(crawl(tmp_path, project, gitlab.token, *FEW, *flags)) == 0
    assert_is_truth(tmp_path / "out", gitlab.truth(), lambda key: few(key) and key[1] != OTHER.id)


def test_include_of_all_below_a_group_is_the_group(tmp_path: Path, gitlab: Served) -> None:
    url = f"{gitlab.url}/fjordlab/handbook"
    assert code_of(crawl(tmp_path, url, gitlab.token, *FEW, "--include", "fjordlab/*")) == 0
    assert_is_truth(tmp_path / "out", gitlab.truth(), few)


def test_since_leaves_out_what_did_not_change_after(tmp_path: Path, gitlab: Served) -> None:
    issues = {
        key: body["updated_at"] for key, body in _issues(gitlab).items() if isinstance(body, dict)
    }
    day = sorted(issues.values())[len(issues) // 2][:10]
    only = ("--resources", "issues", "--since", day)
    assert code_of(crawl(tmp_path, gitlab.url, gitlab.token, *only)) == 0
    assert_is_truth(
        tmp_path / "out",
        gitlab.truth(),
        lambda key: key in issues and issues[key] >= day,
    )
    wider = crawl(tmp_path, gitlab.url, gitlab.token, "--resources", "issues")
    assert re.search(rf"crawled with --since {day}: give the same", str(refusal(wider)))


def _issues(gitlab: Served) -> dict[Key, object]:
    from tests.rig.compare import expected_items

    return {key: body for key, body in expected_items(gitlab.truth()).items() if key[2] == "issues"}


# ---------------------------------------------------------------- run again


def test_second_run_brings_up_to_date_and_costs_little(tmp_path: Path) -> None:
    with served(WORLD) as there:
        assert code_of(crawl(tmp_path, there.url, there.token, *FEW)) == 0
        issue = WORLD.projects[0].issues[0]
        there.change(Edit(what="issue", project=ONE.id, key=issue.iid, fields={"title": "other"}))
        again = crawl(tmp_path, there.url, there.token, *FEW)
        assert code_of(again) == 0
        assert re.search(r"\ncomplete .*, 1 of them new\n", again.stdout)
        assert_is_current(tmp_path / "out", there.truth(), few)


def test_more_resources_in_a_later_run_are_added(tmp_path: Path, gitlab: Served) -> None:
    assert code_of(crawl(tmp_path, gitlab.url, gitlab.token, "--resources", "labels")) == 0
    assert code_of(crawl(tmp_path, gitlab.url, gitlab.token, *FEW)) == 0
    assert_is_truth(tmp_path / "out", gitlab.truth(), few)


# ---------------------------------------------------------------- how it says no


@pytest.mark.parametrize(
    ("path", "token", "error", "sentence"),
    [
        ("", "glpat-wrong", Unauthorized, r"GitLab refuses the token .*make one with the scope"),
        ("", "narrow", Forbidden, r"@\S+ lacks the scope read_api: make another one"),
        ("", "two words", ConfigError, r"this is no token"),
        ("/fjordlab/nothing", "", LabtrawlError, r"nothing could not be read: .*give the URL of"),
        ("/ada.lindqvist", "", LabtrawlError, r"could not be read: .*\(not of a person\)"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, gitlab: Served, path: str, token: str, error: type[Exception], sentence: str
) -> None:
    narrow = next(each.token for each in WORLD.spoilt_tokens if each.scopes == ("read_user",))
    said = {"": gitlab.token, "narrow": narrow}.get(token, token)
    failed = refusal(crawl(tmp_path, gitlab.url + path, said, *FEW))
    assert isinstance(failed, error)
    assert re.search(sentence, str(failed))
    assert said not in str(failed)
    assert not (tmp_path / "out").exists()


def test_folder_that_was_there_stays_where_the_url_names_nothing(
    tmp_path: Path, gitlab: Served
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("mine")
    refusal(crawl(tmp_path, f"{gitlab.url}/fjordlab/nothing", gitlab.token, *FEW))
    assert (tmp_path / "out" / "notes").read_text() == "mine"


def test_no_gitlab_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    port = free_port(socket.AF_INET, "127.0.0.1")
    failed = refusal(crawl(tmp_path, f"http://127.0.0.1:{port}/a", "glpat-x"))
    assert str(port) in str(failed)
    assert not (tmp_path / "out").exists()


def test_token_that_is_revoked_in_the_middle_ends_it_and_a_new_one_goes_on(tmp_path: Path) -> None:
    revoked = Fault(path="/issues", kind="401", times=0, skip=1)
    with served(WORLD, Options(faults=(revoked,))) as there:
        summary = tmp_path / "summary.json"
        ended = crawl(tmp_path, there.url, there.token, *FEW, "--summary", str(summary))
        failed = refusal(ended)
        assert isinstance(failed, Unauthorized)
        assert re.search(
            r"refuses the token of @ada\.lindqvist: .* run the same again", str(failed)
        )
        told = json.loads(summary.read_text())
        assert (told["complete"], told["exit_code"]) == (False, 2)
    with served(WORLD, port=there.server.port) as there:
        assert code_of(crawl(tmp_path, there.url, there.token, *FEW)) == 0
        assert_is_truth(tmp_path / "out", there.truth(), few)


def test_account_that_is_shut_out_in_the_middle_ends_it_with_gitlabs_words(tmp_path: Path) -> None:
    blocked = Fault(path="/api/", kind="403_blocked", times=0, skip=8)
    with served(WORLD, Options(faults=(blocked,))) as there:
        failed = refusal(crawl(tmp_path, there.url, there.token, *FEW))
        assert isinstance(failed, Unauthorized)
        assert "Your account has been blocked" in str(failed)
        assert "sign in to GitLab in a browser, or ask its administrators" in str(failed)


def test_token_of_another_user_is_refused_for_the_same_folder(tmp_path: Path) -> None:
    world = build_world("shared", 2, SIZES)
    with served(world) as there:
        first, second = (account.token for account in world.accounts[:2])
        assert code_of(crawl(tmp_path, there.url, first, *FEW)) == 0
        failed = refusal(crawl(tmp_path, there.url, second, *FEW))
        assert re.search(r"holds what @\S+ may see, and the token is one of @\S+:", str(failed))


@pytest.mark.proof  # it is tried again for some twenty seconds before it is given up
def test_list_that_fails_is_a_gap_and_the_others_are_there(tmp_path: Path) -> None:
    broken = Fault(path=rf"/projects/{ONE.id}/labels", kind="wrong_type", times=0)
    with served(WORLD, Options(faults=(broken,))) as there:
        done = crawl(tmp_path, there.url, there.token, *FEW)
        said = re.sub(r" +", " ", done.stdout)
        assert (code_of(done), done.exception) == (1, None), said
        assert "; 1 list with a gap\n" in said
        assert "\ngap fjordlab/handbook labels: " in said
        assert re.search(r"\nwhy less .* ledger --gaps --data-dir \S+/out\n", said)


def test_nothing_in_the_scope_is_told(tmp_path: Path, gitlab: Served) -> None:
    done = crawl(tmp_path, gitlab.url, gitlab.token, "--exclude", "*")
    assert code_of(done) == 0
    assert re.search(r"\nnothing +no group or project is in this scope\n", done.stdout)


def test_file_of_certificates_that_is_none_is_told_also_where_nothing_is_asked(
    tmp_path: Path, gitlab: Served
) -> None:
    assert code_of(crawl(tmp_path, gitlab.url, gitlab.token, *FEW)) == 0
    flags = (*FEW, "--ca-file", str(tmp_path / "none.pem"))
    told = str(refusal(crawl(tmp_path, gitlab.url, gitlab.token, *flags)))
    assert told == f"ca_file {tmp_path}/none.pem cannot be read: No such file or directory"
