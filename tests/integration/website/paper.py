"""Settings for a site under test: a real file, and a reload that is told instead of done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.settings_desk import FileDesk
from labtrawl.errors import Conflict
from labtrawl.website.given.sheet import SettingsDesk

TOKEN = "kWq7-3vXn_9TzRb2LmYc8HdJf5GsAeU4"
TEXT = f"""\
# mine
data_dir = "data"
contact = "lab@example.org"  # whom to ask

[crawler]
# one is enough
count = 1  # for now

[website]
crawler_token = "{TOKEN}"

[scope]
include = ["open/*"]
"""
ENVIRONMENT = {"LABTRAWL_RETRY_ATTEMPTS": "7"}
FLAGS = {"logs.level": "warning"}


@dataclass
class Reloading:
    """Stands for the supervisor: counts how often it is asked, and answers as it was told to."""

    answer: Sequence[str] = ("crawler-2 added",)
    refusal: str = ""
    asked: int = 0

    async def __call__(self) -> Sequence[str]:
        self.asked += 1
        if self.refusal:
            raise Conflict(self.refusal)
        return self.answer


@dataclass
class Paper:
    """A file of settings, and the desk over it."""

    file: Path
    reloading: Reloading = field(default_factory=Reloading)

    def desk(
        self,
        environment: Mapping[str, str] = ENVIRONMENT,
        flags: Mapping[str, object] = FLAGS,
        text: str = TEXT,
        moved_to: int | None = None,
        logs_format: Literal["auto", "json"] = "auto",
    ) -> FileDesk:
        self.file.write_text(text)
        self.file.chmod(0o600)
        begun = config.load(self.file, environment, flags)
        if moved_to is not None:
            begun = replace(begun, website=replace(begun.website, port=moved_to))
        begun = replace(begun, logs=replace(begun.logs, format=logs_format))
        # As the website gets them: over the control channel.
        return FileDesk(config.restore(config.dump(begun)), self.reloading)


def no_file() -> SettingsDesk:
    """The settings of a run without a file."""
    return FileDesk(config.defaults(Path("/nonexistent")), Reloading())
