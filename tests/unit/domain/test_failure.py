"""What two failures have in common."""

import pytest

from labtrawl.domain.failure import cause_of


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("", ""),
        (
            "500 Internal Server Error: GitLab failed at /api/v4/projects/2700/milestones?per_page=10",
            "500 Internal Server Error: GitLab failed at …",
        ),
        (
            "403 Forbidden: GitLab forbids /api/v4/groups/a%2Fb/labels?sort=asc&page=2; what now?",
            "403 Forbidden: GitLab forbids …; what now?",
        ),
        (
            "gitlab.example.org port 8443 did not answer in full within 30 s",
            "gitlab.example.org port … did not answer in full within 30 s",
        ),
        ("see https://gitlab.example.org:8443/x/1: 502", "see …: 502"),
        ("no read/write access to project 123456", "no read/write access to project …"),
        ("an address at the end /api/v4/user", "an address at the end …"),
        ("no such project", "no such project"),
        ("GitLab said\r\n\ttwo\x00things", "GitLab said…two…things"),
    ],
)
def test_cause_has_the_status_and_no_address_or_long_number(message: str, cause: str) -> None:
    assert cause_of(message) == cause
