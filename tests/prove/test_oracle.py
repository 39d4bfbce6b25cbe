"""The oracle of the proofs by killing tells each kind of fault: one that is blind proves nothing."""

import shutil
from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.store.engine import database_path, open_engine
from tests.prove.kills import Crawl, crawl
from tests.prove.lookalike import GitLab
from tests.prove.oracle import Findings, judge, verdict

CLEAN = Findings((), (), (), (), (), (), (), (), ())
COPY = """
INSERT INTO segment (job_id, area_id, resource, fence, name, length, sha256, records, created_at)
SELECT job_id, area_id, resource, fence, ?, length, sha256, records, created_at FROM segment
WHERE name = ?
"""


def change(one: Crawl, statement: str, *values: str) -> None:
    engine = open_engine(database_path(one.data_dir), read_only=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, values)
    engine.dispose()


def single(one: Crawl) -> Path:
    """The only segment of a list with one record: the group itself."""
    [path] = dataset_root(one.data_dir).glob("*/group-*/group/*.zst")
    return path


def named(one: Crawl, path: Path) -> str:
    return path.relative_to(dataset_root(one.data_dir)).as_posix()


@pytest.mark.prove
def test_oracle_after_each_kind_of_fault_tells_it(tmp_path: Path, quick_gitlab: GitLab) -> None:
    with crawl(tmp_path, quick_gitlab) as one:
        one.start()
        one.wait_until_finished()
        assert verdict(one) == CLEAN
        segment = single(one)
        name, right = named(one, segment), segment.read_bytes()

        segment.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
        found = judge(one.data_dir, one.gitlab.truth)
        assert (len(found.torn), len(found.lost), len(found.ledger)) == (1, 1, 1)

        segment.unlink()
        found = judge(one.data_dir, one.gitlab.truth)
        assert (found.torn, len(found.lost)) == ((name,), 1)

        segment.write_bytes(right)
        copy = name.replace("000001", "000002")
        shutil.copy(segment, dataset_root(one.data_dir) / copy)
        assert judge(one.data_dir, one.gitlab.truth).strays == (copy,)

        change(one, COPY, copy, name)
        found = judge(one.data_dir, one.gitlab.truth)
        assert (len(found.twice), found.strays, len(found.ledger)) == (1, (), 1)

        change(one, "DELETE FROM segment WHERE name IN (?, ?)", copy, name)
        found = judge(one.data_dir, one.gitlab.truth)
        assert (len(found.lost), found.strays) == (1, (name, copy))

        change(one, "UPDATE ledger SET completed_at = NULL WHERE resource = 'group'")
        found = judge(one.data_dir, one.gitlab.truth)
        assert (len(found.jobs), len(found.gaps)) == (1, 1)
