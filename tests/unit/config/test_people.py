"""Who is named as an admin or operator: a number at a GitLab of these settings, and nothing else."""

from pathlib import Path

import pytest

from labtrawl import config
from labtrawl.errors import ConfigError

INSTANCES = '[[instances]]\nname = "lab: one"\nurl = "https://gitlab.example.org"\n'


def load(folder: Path, people: str) -> config.Settings:
    path = folder / "labtrawl.toml"
    path.write_text(f"[website]\n{people}\n{INSTANCES}", "utf-8")
    return config.load(path, {}, {})


def test_people_are_named_by_instance_and_number(tmp_path: Path) -> None:
    found = load(tmp_path, 'admins = ["lab: one:7"]\noperators = ["lab: one:70", "lab: one:8"]')
    assert found.website.admins == ("lab: one:7",)
    assert found.website.operators == ("lab: one:70", "lab: one:8")


@pytest.mark.parametrize("name", ["admins", "operators"])
@pytest.mark.parametrize(
    "person",
    ["", "7", "ada", "lab: one:ada", "lab: one:", "other:7", "lab: one:07", "lab: one:-7", "a@b.c"],
)
def test_anybody_else_is_refused(tmp_path: Path, name: str, person: str) -> None:
    with pytest.raises(ConfigError, match=f"website.{name} names '{person}'"):
        load(tmp_path, f'{name} = ["{person}"]')
