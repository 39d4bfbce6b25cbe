"""How both ends of a connection prove that they share a secret, without sending it."""

import hashlib
import hmac

ROLE_CRAWLER = "crawler"
ROLE_WEBSITE = "copilot-study"


def secret_of(token: str) -> bytes:
    """Return the key of the proofs: the website knows only this hash of a child's token."""
    return hashlib.sha256(token.encode()).digest()


def prove(secret: bytes, their_nonce: str, own_nonce: str, role: str, name: str) -> str:
    """HMAC-SHA256 (RFC 2104) over both nonces, the prover's role and name, in hex."""
    text = "\n".join((their_nonce, own_nonce, role, name))
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def is_proved(
    proof: str, secret: bytes, their_nonce: str, own_nonce: str, role: str, name: str
) -> bool:
    """Compare in constant time; whatever text a peer sends as its proof is just wrong."""
    right = prove(secret, their_nonce, own_nonce, role, name)
    return hmac.compare_digest(proof.encode("utf-8", "replace"), right.encode())
