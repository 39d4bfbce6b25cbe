"""The look-alike's ID tokens (OpenID Connect Core 1.0, 2): claims, signed with RS256 as GitLab does.

Entered by the OAuth provider. Facts: config/initializers/doorkeeper_openid_connect.rb and
doc/integration/openid_connect_provider.md of GitLab 19.3; an ID token lives for 120 seconds.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

ALGORITHM = "RS256"
LIFE_SECONDS = 120
_BITS = 2048


class Signer:
    """A key that is made when it is first asked for, and forgotten with the process."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        numbers = self._key.public_key().public_numbers()
        modulus = numbers.n.to_bytes(_BITS // 8)
        self._public = {"kty": "RSA", "e": _encoded(numbers.e.to_bytes(3)), "n": _encoded(modulus)}
        self._public |= {"kid": _encoded(hashlib.sha256(modulus).digest())}

    def keys(self) -> dict[str, object]:
        """``GET /oauth/discovery/keys``: the public half (RFC 7517)."""
        return {"keys": [self._public | {"use": "sig", "alg": ALGORITHM}]}

    def sign(self, claims: Mapping[str, object]) -> str:
        """The claims as a signed token (RFC 7515, 3.1)."""
        head = {"typ": "JWT", "alg": ALGORITHM, "kid": self._public["kid"]}
        signed = ".".join(_encoded(msgspec.json.encode(each)) for each in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{_encoded(signature)}"


@functools.cache
def signer() -> Signer:
    """The signer of every look-alike in this process: only their addresses tell them apart."""
    return Signer()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
