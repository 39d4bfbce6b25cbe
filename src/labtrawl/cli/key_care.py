"""What a start does for the keys: old texts come under the current one, unused old keys go."""

from collections.abc import Callable
from pathlib import Path

from labtrawl import logs
from labtrawl.cli.notice_secrets import texts_of
from labtrawl.config import Settings
from labtrawl.dispatch.spool import keys_in
from labtrawl.errors import Conflict
from labtrawl.store import keyring, renewals
from labtrawl.store.engine import Store
from labtrawl.store.secrets import Cipher, key_id_in, key_path

log = logs.get("website")


async def care_for_keys(settings: Settings, store: Store, ring: Callable[[], Cipher]) -> None:
    """Encrypt again what is under an old key, or in an old form; retire the keys left unused.

    The settings of this process count as a use: it may have begun before a rotation.
    """
    path = key_path(settings.data_dir)
    if not path.exists():
        return
    try:
        with keyring.rotating(path):
            changed, broken = await store.write(lambda c: renewals.encrypt_again(c, ring()))
            used = await used_keys(settings, store)
            retired = keyring.retire(path, used)
    except Conflict:
        return  # a rotation is under way and does all of this
    if changed or retired or broken:
        log.info("keys_cared_for", accounts=changed, unreadable=broken, retired=retired)


async def used_keys(settings: Settings, store: Store) -> set[str]:
    """Return the ids of the keys under which something is encrypted."""
    stored = await store.read(renewals.texts)
    found = (key_id_in(text) for text in [*stored, *encrypted_settings(settings)])
    return {each for each in found if each} | keys_in(_folder(settings))


def encrypted_settings(settings: Settings) -> list[str]:
    """Return every encrypted text of the settings."""
    texts = [each.client_secret for each in settings.instances]
    texts += [text for text, _ in texts_of(settings.notices)]
    for account in settings.accounts:
        texts += [account.token, account.refresh_token]
    return [text for text in texts if text]


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "config"
