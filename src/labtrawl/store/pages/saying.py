"""What a filter means by a part of a text, as a pattern of LIKE; any case is the same."""

from labtrawl.domain.failure import ANYTHING

QUOTE = '"'
# Whatever is compared with one of the patterns below.
MATCHES = r"LIKE ? ESCAPE '\'"
# Others than failed jobs may still hold the message of an earlier attempt.
SAYS = f"job.error_reason || '' <> '' AND job.error_message {MATCHES}"


def whole(words: str) -> str:
    """Return the `message` of a filter for failures that say this and nothing else."""
    return f"{QUOTE}{words}{QUOTE}"


def containing(part: str) -> str:
    """Return the pattern of texts with this part; no character of it is a wildcard."""
    return f"%{_literal(part)}%"


def meant_by(message: str) -> str:
    """Return the pattern of what the `message` of a filter stands for."""
    is_whole = len(message) > 1 and message[0] == message[-1] == QUOTE
    pattern = _literal(message[1:-1] if is_whole else message).replace(ANYTHING, "%")
    return pattern if is_whole else f"%{pattern}%"


def _literal(part: str) -> str:
    for special in "\\%_":
        part = part.replace(special, f"\\{special}")
    return part
