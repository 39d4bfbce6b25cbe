"""All failures of the house, in one tree; a leaf that every room may import.

    LabtrawlError
      ConfigError
      ProtocolError: MessageTooLarge, BadMessage, VersionMismatch, PeerGone
      GitLabError: RateLimited, Unavailable, Unauthorized, Forbidden, NotFound, UnexpectedReply
      StoreError: Missing, Conflict, LeaseLost
      DatasetError: DiskFull, CorruptSegment

A message says what went wrong and what to do next. `reason` is the closed word kept with a job or a
ledger row; `retryable` says whether trying the same again can help.
"""

from typing import ClassVar


class LabtrawlError(Exception):
    """The base of everything that labtrawl raises on purpose."""

    reason: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False


class ConfigError(LabtrawlError):
    """A setting, a file of settings or an argument cannot be used as it is."""

    reason = "config"


class ProtocolError(LabtrawlError):
    """A peer broke the wire protocol."""

    reason = "protocol"


class MessageTooLarge(ProtocolError):
    """A message is longer than the limit; nothing of it was used."""

    reason = "message_too_large"


class BadMessage(ProtocolError):
    """Bytes that are no message, or a message whose payload has the wrong shape."""

    reason = "bad_message"


class VersionMismatch(ProtocolError):
    """The peer speaks another version of the protocol."""

    reason = "version_mismatch"


class PeerGone(ProtocolError):
    """The connection ended, or was never there; the sender keeps what was not acknowledged."""

    reason = "peer_gone"
    retryable = True


class GitLabError(LabtrawlError):
    """GitLab answered with something other than the data asked for."""

    reason = "failed"


class RateLimited(GitLabError):
    """GitLab asks to wait; `retry_after` is in seconds, None where it does not say."""

    reason = "rate_limited"
    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(GitLabError):
    """GitLab could not be reached or failed on its side (5xx, time-out, reset connection)."""

    reason = "unavailable"
    retryable = True


class Unauthorized(GitLabError):
    """The token is missing, wrong, expired or revoked (401)."""

    reason = "credential"


class Forbidden(GitLabError):
    """The account may not read this (403)."""

    reason = "forbidden"


class NotFound(GitLabError):
    """It is not there, or not for this account (404)."""

    reason = "not_found"


class UnexpectedReply(GitLabError):
    """An answer that cannot be trusted as data: no JSON, cut short, of a wrong shape."""

    reason = "unexpected_reply"
    retryable = True


class StoreError(LabtrawlError):
    """The database refused."""

    reason = "store"


class Missing(StoreError):
    """No such row."""

    reason = "missing"


class Conflict(StoreError):
    """The row is not in a state that allows this."""

    reason = "conflict"


class LeaseLost(StoreError):
    """The job belongs to another lease, or to none; the caller drops it and changes nothing."""

    reason = "lease_lost"


class DatasetError(LabtrawlError):
    """The files of the dataset."""

    reason = "dataset"


class DiskFull(DatasetError):
    """No room to write; nothing was committed, the job goes on when there is room again."""

    reason = "disk"
    retryable = True


class CorruptSegment(DatasetError):
    """A segment differs from what its manifest row says."""

    reason = "corrupt_segment"
