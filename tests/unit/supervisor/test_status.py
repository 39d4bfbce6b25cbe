"""The status in words."""

from datetime import UTC, datetime, timedelta

from labtrawl.cli.status import in_words
from labtrawl.supervisor.states import CredentialStatus, ProgramStatus, State, Status

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_status_in_words_has_a_line_for_each_program() -> None:
    whole = Status(
        pid=7,
        data_dir="/d",
        address="http://127.0.0.1:3000",
        started_at=NOW,
        credentials=CredentialStatus(),
        programs=(
            ProgramStatus(
                name="website",
                state=State.READY,
                since=NOW - timedelta(hours=2, minutes=5),
                pid=8,
                starts=2,
                crashes=1,
                details={"address": "x"},
            ),
            ProgramStatus(
                name="crawler-1",
                state=State.PENDING,
                since=NOW - timedelta(seconds=5),
                reason="waiting for credentials from the website",
            ),
        ),
    )
    assert in_words(whole, NOW).splitlines() == [
        "labtrawl at http://127.0.0.1:3000, data in /d, pid 7",
        "website    ready     for 2 h 5 min  pid 8  2 starts, 1 crashes  address=x",
        "crawler-1  pending   for 5 s  waiting for credentials from the website; "
        "sign in at http://127.0.0.1:3000",
    ]
