"""Small files of the commands, written whole or not at all: a full disk leaves what was there."""

import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place in one step; what is no plain file (/dev/stdout) is written to.

    Raises OSError, with the file's name; then the file is as before.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
