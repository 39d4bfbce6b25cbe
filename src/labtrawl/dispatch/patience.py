"""How long a renewal that fails is tried again, and what people are told of it. Pure."""

from dataclasses import dataclass

from labtrawl.errors import ConfigError, LabtrawlError, RateLimited, Unauthorized
from labtrawl.gitlab.oauth import GrantRefused
from labtrawl.store.renewals import StoredPair

MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what fails is tried, and how often; seconds.

    A good pair may be refused by a replica that has not seen it: only `refusals` in a row, the first
    of them `refused` ago, count. Pauses double up to `longest`.
    """

    refusals: int = 3
    refused: float = 600.0
    first_refusal: float = 15.0
    first: float = 1.0
    longest: float = 300.0
    tick: float = 1.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A renewal of one version that fails: how often, and when the next try is due (ms)."""

    error: LabtrawlError
    tries: int
    next_at: int
    version: int = 0
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means: the next try after a pause, and whether a person must act."""

    pause_ms: int
    is_final: bool


def judge(patience: Patience, error: LabtrawlError, tries: int, refused_ms: int) -> Verdict:
    """Weigh the `tries`-th failure in a row, of a pair that is refused for `refused_ms`."""
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return Verdict(int(max(error.retry_after, patience.first) * 1000), False)
    if isinstance(error, ConfigError):
        return Verdict(int(patience.longest * 1000), False)
    is_refusal = isinstance(error, GrantRefused)
    first = patience.first_refusal if is_refusal else patience.first
    pause_ms = int(min(patience.longest, first * 2.0 ** min(tries - 1, MOST_DOUBLINGS)) * 1000)
    if not is_refusal or tries < patience.refusals:
        return Verdict(pause_ms, False)
    left_ms = int(patience.refused * 1000) - refused_ms
    if left_ms <= 0:
        # Nobody waits for it any more; a last hope costs a request an hour.
        return Verdict(3_600_000, True)
    return Verdict(min(pause_ms, left_ms), False)


def sentence(pair: StoredPair, error: LabtrawlError, is_final: bool) -> LabtrawlError:
    """Say whose renewal failed, and whether somebody has to do something."""
    who = f"@{pair.username or pair.user_id} on {pair.instance_name}"
    if is_final:
        again = f"with labtrawl init --oauth --add --url {pair.instance_url}"
        return Unauthorized(
            f"GitLab does not accept the sign-in of {who} any more: sign in again "
            f"{'on the website' if pair.redirect_uri else again}"
        )
    if isinstance(error, ConfigError):
        return ConfigError(f"the token of {who} cannot be renewed: {error}")
    return type(error)(f"the token of {who} is not renewed yet ({error}); it is tried again")
