"""What every test may ask for; the rooms' own fixtures lie beside their tests."""

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.store.engine import Database
from tests.rig import postgresql

ROOT = Path(__file__).resolve().parent.parent

# A slow machine is no failing property, and a failure is printed so that it can be run again.
settings.register_profile("house", deadline=None, print_blob=True, max_examples=60)
settings.load_profile("house")

# A browser or whole programs; a property a hundred times; the source itself, which runs nothing;
# and whole crawls over sockets, which lie in `integration` itself.
LONG_FOLDERS = {"integration", "integration/faults"}
LONG_TREES = {"e2e", "meta", "property"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests begin first: none is left alone with one processor at the end."""
    for item in items:
        folder = item.path.parent.relative_to(ROOT / "tests")
        if folder.as_posix() in LONG_FOLDERS or LONG_TREES.intersection(folder.parts[:1]):
            item.add_marker("long")
    files = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in files)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Long tests run without coverage, which doubles what they take: short ones reach their lines.

    A worker of pytest-xdist has two measurements, one on top of the other.
    """
    stopped: list[Coverage] = []
    if item.get_closest_marker("long"):
        while (measurement := Coverage.current()) is not None:
            measurement.stop()
            stopped.append(measurement)
    try:
        return (yield)
    finally:
        for measurement in reversed(stopped):
            measurement.start()


@pytest.fixture(autouse=True, scope="session")
def hangups_end_what_is_started() -> Iterator[None]:
    """Programs find SIGHUP as without nohup: only what is ignored stays so in them (man 2 execve)."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True)
def no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees only the settings that it sets itself."""
    seeds = {"SOCKET_PATH", "COPILOT_PROCESS_ID", "CRAWLER_API_TOKEN", "AUTH_IPC_SOCKET_PATH"}
    for name in os.environ:
        if name.startswith("LABTRAWL_") or name in seeds:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def quiet_logs() -> None:
    """A test's own output stays readable: only what a person must act on is logged."""
    logs.set_up(Logs(level="error"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of this test's own, once on each engine: what the store suite runs on."""
    if request.param == "sqlite":
        yield tmp_path / "labtrawl.sqlite"
    else:
        url = postgresql.server().fresh()
        yield url
        postgresql.server().drop(url)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Nothing outlives the tests."""
    postgresql.stop()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def gitlab_truth() -> Path | None:
    """The folder with real GitLab data (GITLAB_TRUTH, relative to the checkout), None if absent.

    A test that gets None works on a small tree of our own and says so.
    """
    folder = ROOT / os.environ.get("GITLAB_TRUTH", "../shared/gitlab-truth")
    return folder.resolve() if folder.is_dir() else None
