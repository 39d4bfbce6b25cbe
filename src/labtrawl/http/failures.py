"""What the HTTP library raises, as one sentence of ours; it quotes no URL and no header."""

import re

from pyreqwest.exceptions import (
    BodyDecodeError,
    ConnectError,
    DecodeError,
    DetailedPyreqwestError,
    RequestTimeoutError,
)

from labtrawl.errors import ConfigError, LabtrawlError, Unavailable, UnexpectedReply
from labtrawl.http.origin import Limits

_BAD_CERTIFICATE = "invalid peer certificate: "
_OS_NUMBER = re.compile(r" \(os error \d+\)$")


def was_never_sent(error: DetailedPyreqwestError) -> bool:
    """Tell whether no byte of the request can have arrived: the connection itself failed."""
    return isinstance(error, ConnectError) and "client error (Connect)" in _causes(error)


def mapped(error: DetailedPyreqwestError, place: str, limits: Limits) -> LabtrawlError:
    """Return our error for what happened at `place` (host, port and proxy as text)."""
    cause = _innermost_cause(error)
    if cause.startswith(_BAD_CERTIFICATE):
        return ConfigError(_certificate_sentence(place, cause))
    if "corrupt message" in cause:
        return ConfigError(
            f"{place} does not speak TLS: check the port in the URL; without TLS it begins with"
            " http://"
        )
    if isinstance(error, RequestTimeoutError):
        return Unavailable(f"{place} {_patience(error, limits)}: check the network and GitLab")
    if isinstance(error, DecodeError) and not isinstance(error, BodyDecodeError):
        return UnexpectedReply(f"{place} does not answer in HTTP ({cause}): check the URL")
    if was_never_sent(error):
        return Unavailable(
            f"{place} cannot be reached ({cause}): check the URL, the network and that GitLab runs"
        )
    return Unavailable(f"the connection to {place} broke off ({cause}): try again")


def _patience(error: DetailedPyreqwestError, limits: Limits) -> str:
    if "client error (Connect)" in _causes(error):
        return f"could not be connected to within {limits.connect_seconds:g} s"
    return f"did not answer in full within {limits.total_seconds:g} s"


def _causes(error: DetailedPyreqwestError) -> list[str]:
    return [cause["message"] for cause in error.details["causes"] or ()]


def _innermost_cause(error: DetailedPyreqwestError) -> str:
    """The library's own word for it; the outer causes hold the whole URL."""
    named = [cause for cause in _causes(error) if "url (" not in cause]
    return _OS_NUMBER.sub("", named[-1] if named else error.message)


def _certificate_sentence(place: str, cause: str) -> str:
    detail = cause.removeprefix(_BAD_CERTIFICATE)
    if detail == "UnknownIssuer":
        return (
            f"the certificate of {place} comes from an authority that this machine does not know: "
            "if it is your own, name its certificate in ca_file (--ca-file)"
        )
    return f"the certificate of {place} is not valid ({detail}): whoever runs it must replace it"
