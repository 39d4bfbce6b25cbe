"""The encrypted texts of a file of settings, brought under another key; the rest stays as it is."""

from collections.abc import Iterator
from pathlib import Path

from labtrawl.cli.notice_secrets import texts_of
from labtrawl.cli.settings_blocks import replace_texts
from labtrawl.cli.settings_file import put_file
from labtrawl.config import Settings
from labtrawl.errors import ConfigError
from labtrawl.store.secrets import Cipher, Place, account_place, client_secret_place


def encrypt_again(config: Path, settings: Settings, cipher: Cipher) -> tuple[int, int]:
    """Write the file with its texts under the current key; return how many changed, and how many not.

    The second are those that do not open. Raises ConfigError where the file cannot be written.
    """
    replacements: dict[str, str] = {}
    broken = 0
    for text, place in _texts(settings):
        try:
            new = cipher.renewed(text, place)
        except ConfigError:
            broken += 1
            continue
        if new != text:
            replacements[text] = new
    if replacements:
        try:
            before = config.read_text(encoding="utf-8")
            put_file(config, replace_texts(before, replacements), may_replace=True)
        except OSError as error:
            raise ConfigError(f"{config} cannot be written: {error.strerror}") from None
    return len(replacements), broken


def _texts(settings: Settings) -> Iterator[tuple[str, Place]]:
    urls = {each.name: each.url for each in settings.instances}
    yield from texts_of(settings.notices)
    for instance in settings.instances:
        if instance.client_secret:
            yield instance.client_secret, client_secret_place(instance.url)
    for account in settings.accounts:
        url = urls[account.instance]
        yield account.token, account_place(url, account.user_id)
        if account.refresh_token:
            yield account.refresh_token, account_place(url, account.user_id, "refresh_token")
