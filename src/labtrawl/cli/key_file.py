"""The keys of a data folder in one file, for safekeeping apart from the backups; and back again."""

import os
import secrets
from pathlib import Path

import msgspec

from labtrawl.cli.chests import TAR, sync_folder
from labtrawl.cli.study import study_key_path
from labtrawl.errors import ConfigError
from labtrawl.store.secrets import (
    draft_key_file,
    key_id_of,
    key_path,
    old_key_files,
    open_cipher,
    parse_old_name,
    read_key,
)

FORMAT = 1


class KeptKeys(msgspec.Struct, frozen=True):
    """The keys by their ids, as hex; `derived` is what is left of retired ones.

    `study` is the key of a study's pseudonyms, "" for a team.
    """

    format: int
    current: str
    keys: dict[str, str]
    derived: dict[str, str]
    study: str = ""


def keep_keys(data_dir: Path, path: Path, backup: Path) -> int:
    """Write the keys into a file, beside those that it holds already; return how many it holds.

    Keys that open older backups stay in it. ConfigError where there is no key, where the file is
    something else, or lies where the backups are.
    """
    is_beside = backup.suffix == TAR and path.resolve().parent == backup.resolve().parent
    if is_beside or path.resolve().is_relative_to(backup.resolve()):
        raise ConfigError(
            f"{path} lies where the backup is: who finds both can open every token; choose another"
            " place"
        )
    place = key_path(data_dir)
    open_cipher(place)
    before = read_kept(path) if path.exists() else KeptKeys(FORMAT, "", {}, {})
    current = read_key(place)
    keys, derived = dict(before.keys), dict(before.derived)
    keys[key_id_of(current)] = current.hex()
    for each in old_key_files(place):
        key_id, is_retired = parse_old_name(each)
        (derived if is_retired else keys)[key_id] = read_key(each).hex()
    study = study_key_path(data_dir)
    own = read_key(study).hex() if study.exists() else before.study
    if before.study not in ("", own):
        raise ConfigError(f"{path} holds the key of another study: name another file")
    _write(path, KeptKeys(FORMAT, key_id_of(current), keys, derived, own))
    return len(keys)


def read_kept(path: Path) -> KeptKeys:
    """Return what `keep_keys` wrote; ConfigError for anything else."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=KeptKeys)
        is_good = _is_good(found)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError):
        is_good = False
    if not is_good:
        raise ConfigError(f"{path} holds no keys that `labtrawl backup --keys` wrote")
    return found


def _is_good(found: KeptKeys) -> bool:
    """Say whether each key has the id under which it stands; ValueError where one is no hex."""
    texts = (*found.keys.values(), *found.derived.values(), *filter(None, [found.study]))
    lengths = {len(bytes.fromhex(text)) for text in texts}
    ids = all(key_id_of(bytes.fromhex(text)) == name for name, text in found.keys.items())
    return found.format == FORMAT and found.current in found.keys and len(lengths) == 1 and ids


def put_keys(kept: KeptKeys, data_dir: Path) -> None:
    """Write the keys into a data folder that has none, as a rotation would have left them."""
    place = key_path(data_dir)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kept.study:
        draft_key_file(place, bytes.fromhex(kept.study)).rename(study_key_path(data_dir))
    for key_id, text in kept.keys.items():
        name = place if key_id == kept.current else place.with_name(f"{place.name}.{key_id}")
        draft_key_file(place, bytes.fromhex(text)).rename(name)
    for key_id, text in kept.derived.items():
        if key_id not in kept.keys:
            name = place.with_name(f"{place.name}.{key_id}.derived")
            draft_key_file(place, bytes.fromhex(text)).rename(name)
    open_cipher(place)


def _write(path: Path, kept: KeptKeys) -> None:
    if not path.parent.is_dir():
        # A disk that is not there would be a folder on this one, where the backups may be too.
        raise ConfigError(f"there is no folder {path.parent}; make it first")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=1))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
