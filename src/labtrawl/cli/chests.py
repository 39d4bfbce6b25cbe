"""What a backup is kept in: a folder, or one tar file. Both hold the same names, and their list last.

A draft becomes a backup in one rename, when every byte of it is durable; what is cut off before is
never taken for one.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol, cast

import msgspec

from labtrawl.errors import ConfigError, Conflict

LIST = "backup.json"
FORMAT = 1
DRAFT = ".labtrawl-part-"
DAMAGED = ".labtrawl-damaged-"
TAR = ".tar"
_BLOCK = 1 << 20


class File(msgspec.Struct, frozen=True):
    """One file of a backup, by its name in the data folder."""

    name: str
    length: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """The list of a backup; `made_at` is ISO 8601, UTC."""

    format: int
    labtrawl: str
    revision: str
    made_at: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """How much it holds."""
        return sum(each.length for each in self.files)


class Draft(Protocol):
    """A backup that is being written."""

    def add(self, name: str, source: Path, known: File | None = None) -> tuple[File, int]:
        """Take a file in; return what it is, and how many bytes were copied for it.

        ConfigError where it is not what `known` says.
        """

    def take(self, name: str, source: Path) -> tuple[File, int]:
        """Do as `add` with a durable file of the same file system, which is gone after."""

    def finish(self, contents: Contents) -> None:
        """Write the list, make all durable, and give the backup its name."""


class Chest(Protocol):
    """A backup that is whole."""

    def contents(self) -> Contents:
        """Return its list; ConfigError where it is none."""

    def open(self, name: str) -> IO[bytes]:
        """Open one of its files; ConfigError where it is not there."""


def copy_checked(source: IO[bytes], target: IO[bytes] | None, known: File) -> None:
    """Copy a file, or only read it, and compare it with what is known. Raises ConfigError."""
    found = _copy(source, target, known.name)
    if found != known:
        raise ConfigError(f"{known.name} has other bytes than its list says: it is damaged")


def _copy(source: IO[bytes], target: IO[bytes] | None, name: str) -> File:
    digest, length = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        length += len(block)
        if target is not None:
            target.write(block)
    return File(name, length, digest.hexdigest())


def write_copied(source: IO[bytes], path: Path, name: str) -> File:
    """Copy into a new file, for its user only and durable; return what it is."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as target:
        found = _copy(source, target, name)
        target.flush()
        os.fsync(target.fileno())
    return found


def sync_folders(root: Path) -> None:
    """Make the names of everything below a folder last."""
    for folder, _, _ in os.walk(root):
        sync_folder(Path(folder))


def sync_folder(path: Path) -> None:
    """Make a folder's entries last."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let one writer at a time into a folder, and remove what others left that were cut off.

    Conflict where there is another.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another backup is being written in {folder}: wait for its end"
            ) from None
        _sweep(folder)
        try:
            yield
        finally:
            _sweep(folder)
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    for each in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()


class FolderDraft:
    """A folder of a backup; what the backup before it holds too is linked, not copied."""

    def __init__(self, place: Path, before: Path | None) -> None:
        self._place = place
        self._draft = place.with_name(f"{DRAFT}{place.name}")
        self._draft.mkdir(mode=0o700)
        self._before = before
        self._linkable = _files_of(before)

    def add(self, name: str, source: Path, known: File | None = None) -> tuple[File, int]:
        """Take a file in; see `Draft`."""
        target = self._draft / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if known is not None and self._linkable.get(name) == known and self._linked(name, target):
            return known, 0
        with source.open("rb") as file:
            found = write_copied(file, target, name)
        if known is not None and found != known:
            raise ConfigError(f"{name} has other bytes than were committed")
        return found, found.length

    def take(self, name: str, source: Path) -> tuple[File, int]:
        """Take a file in that is gone after; see `Draft`."""
        target = self._draft / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with source.open("rb") as file:
            found = _copy(file, None, name)
        source.rename(target)
        return found, found.length

    def _linked(self, name: str, target: Path) -> bool:
        assert self._before is not None, "there is something to be linked"
        source = self._before / name
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:  # gone, or a file system without links: then it is copied
            return False
        return True

    def finish(self, contents: Contents) -> None:
        """Give the backup its name; see `Draft`."""
        write_copied(io.BytesIO(_text_of(contents)), self._draft / LIST, LIST)
        sync_folders(self._draft)
        self._draft.rename(self._place)
        sync_folder(self._place.parent)


def _files_of(before: Path | None) -> dict[str, File]:
    if before is None:
        return {}
    return {each.name: each for each in FolderChest(before).contents().files}


class TarDraft:
    """One tar file, uncompressed: what is large in it is compressed already."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._path = place.with_name(f"{DRAFT}{place.name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, source: Path, known: File | None = None) -> tuple[File, int]:
        """Take a file in; see `Draft`."""
        with source.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            hashed = _Hashing(file)
            self._put(name, length, cast("IO[bytes]", hashed))
        found = File(name, length, hashed.digest.hexdigest())
        if known is not None and found != known:
            raise ConfigError(f"{name} has other bytes than were committed")
        return found, length

    def take(self, name: str, source: Path) -> tuple[File, int]:
        """Take a file in that is gone after; see `Draft`."""
        found = self.add(name, source)
        source.unlink()
        return found

    def _put(self, name: str, length: int, file: IO[bytes]) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = length, 0o600
        self._tar.addfile(member, file)

    def finish(self, contents: Contents) -> None:
        """Give the backup its name; see `Draft`."""
        text = _text_of(contents)
        self._put(LIST, len(text), io.BytesIO(text))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.rename(self._place)
        sync_folder(self._place.parent)


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read as a file does."""
        block = self._file.read(size)
        self.digest.update(block)
        return block


def _text_of(contents: Contents) -> bytes:
    return msgspec.json.format(msgspec.json.encode(contents), indent=1)


@contextlib.contextmanager
def open_chest(path: Path) -> Iterator[Chest]:
    """Open a backup; the newest one of a folder that holds several. ConfigError for none."""
    if path.is_file():
        with _opened_tar(path) as tar:
            yield TarChest(path, tar)
        return
    if (path / LIST).is_file():
        yield FolderChest(path)
        return
    found = backups_in(path)
    if not found:
        raise ConfigError(f"there is no backup in {path}: {_WANTED}")
    yield FolderChest(found[-1])


_WANTED = "name the folder that `labtrawl backup` wrote to, one of the folders in it, or its .tar"


def _opened_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:")
    except (tarfile.TarError, OSError) as error:
        raise ConfigError(f"{path} is no backup ({error}): {_WANTED}") from None


def backups_in(folder: Path) -> list[Path]:
    """Return the whole backups of a folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        each for each in folder.iterdir() if each.name[:1] != "." and (each / LIST).is_file()
    )


def linkable_in(folder: Path) -> Path | None:
    """Return the newest backup of a folder, None where there is none or a newer one was damaged.

    What a damaged one shares with those before it is one file on the disk: its bytes are bad in all.
    """
    whole = [each.name for each in backups_in(folder)]
    damaged = [each.name.removeprefix(DAMAGED) for each in folder.glob(f"{DAMAGED}*")]
    if not whole or max(damaged, default="") > whole[-1]:
        return None
    return folder / whole[-1]


def set_aside(place: Path) -> Path:
    """Take a damaged backup out of the list, and from what the next one links; return its place.

    Only the last one stays: a bad disk shall not be filled with them.
    """
    aside = place.with_name(f"{DAMAGED}{place.name}")
    earlier = list(place.parent.glob(f"{DAMAGED}*"))
    place.rename(aside)
    sync_folder(place.parent)
    for each in earlier:
        shutil.rmtree(each)
    return aside


class FolderChest:
    """A backup in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def contents(self) -> Contents:
        """Return its list; see `Chest`."""
        with self.open(LIST) as file:
            return _contents(file.read(), self.path)

    def open(self, name: str) -> IO[bytes]:
        """Open one of its files; see `Chest`."""
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise ConfigError(f"{name} leads out of {self.path}: it is no backup of ours")
        try:
            return path.open("rb")
        except OSError as error:
            raise ConfigError(f"{name} of {self.path} cannot be read: {error.strerror}") from None


class TarChest:
    """A backup in a tar file; nothing is unpacked, so no name in it leads anywhere."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self._tar = tar

    def contents(self) -> Contents:
        """Return its list; see `Chest`."""
        with self.open(LIST) as file:
            return _contents(file.read(), self.path)

    def open(self, name: str) -> IO[bytes]:
        """Open one of its files; see `Chest`."""
        try:
            file = self._tar.extractfile(name)
        except (KeyError, tarfile.TarError, OSError):
            file = None
        if file is None:
            raise ConfigError(f"{name} is not in {self.path}: it is no whole backup")
        return file


def _contents(text: bytes, path: Path) -> Contents:
    try:
        found = msgspec.json.decode(text, type=Contents)
    except msgspec.MsgspecError:
        raise ConfigError(f"{path} is no backup, or its list is damaged") from None
    if found.format != FORMAT:
        raise ConfigError(f"{path} was made by another labtrawl ({found.labtrawl}): use that one")
    return found
