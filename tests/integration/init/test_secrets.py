"""Encrypted tokens and the key file, on a real disk."""

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.store.secrets import (
    Cipher,
    Place,
    account_place,
    create_key_file,
    derivation_base,
    key_path,
    open_cipher,
)

URL = "https://gitlab.example.org/gl"
PLACE = account_place(URL, 7)
TOKEN = Secret("glpat-CANARY-0123456789")


@pytest.fixture
def cipher(tmp_path: Path) -> Cipher:
    create_key_file(key_path(tmp_path))
    return open_cipher(key_path(tmp_path))


def flipped(text: str, position: int) -> str:
    head, _, body = text.rpartition(":")
    raw = bytearray(base64.b64decode(body))
    raw[position] ^= 1
    return f"{head}:{base64.b64encode(raw).decode()}"


def test_place_is_the_same_with_and_without_a_slash() -> None:
    assert account_place(f"{URL}/", 7) == Place("accounts", "7", "token", URL)


def test_decrypt_returns_what_was_encrypted(cipher: Cipher, tmp_path: Path) -> None:
    for secret in (TOKEN, Secret(""), Secret("ключ-🔑")):
        again = open_cipher(key_path(tmp_path))
        assert again.decrypt(cipher.encrypt(secret, PLACE), PLACE) == secret


def test_encrypt_never_gives_the_same_text_twice_and_never_the_token(cipher: Cipher) -> None:
    texts = {cipher.encrypt(TOKEN, PLACE) for _ in range(100)}
    assert len(texts) == 100
    assert all(text.startswith("enc:v2:") and "CANARY" not in text for text in texts)


@pytest.mark.parametrize("position", [0, 11, 12, 20, -1])
def test_decrypt_of_a_changed_text_is_refused(cipher: Cipher, position: int) -> None:
    with pytest.raises(ConfigError, match="was changed"):
        cipher.decrypt(flipped(cipher.encrypt(TOKEN, PLACE), position), PLACE)


@pytest.mark.parametrize(
    "place",
    [
        account_place("https://evil.example", 7),
        account_place(URL, 8),
        account_place(URL, 0),
        account_place(URL, 7, "refresh_token"),
        Place("instances", "7", "token", URL),
        Place("accounts", '7", "token', "", URL),
    ],
)
def test_decrypt_of_a_text_from_another_place_is_refused(cipher: Cipher, place: Place) -> None:
    with pytest.raises(ConfigError, match="belongs to another GitLab or account"):
        cipher.decrypt(cipher.encrypt(TOKEN, PLACE), place)


def test_text_of_the_first_form_opens_at_its_place_and_is_renewed(tmp_path: Path) -> None:
    """Written by labtrawl before rows were bound: key 00…00, nonce 00…00."""
    cipher = Cipher(bytes(32))
    sealed = AESGCM(bytes(32)).encrypt(bytes(12), b"glpat-x", f"accounts|token|{URL}".encode())
    text = f"enc:v1:{cipher.key_id}:{base64.b64encode(bytes(12) + sealed).decode()}"
    assert cipher.decrypt(text, PLACE) == Secret("glpat-x")
    new = cipher.renewed(text, PLACE)
    assert (new[:7], cipher.decrypt(new, PLACE)) == ("enc:v2:", Secret("glpat-x"))
    assert cipher.renewed(new, PLACE) == new
    with pytest.raises(ConfigError, match="belongs to another"):
        cipher.decrypt(text, account_place("https://evil.example", 7))


def test_derived_keys_differ_by_purpose_and_key_and_outlive_a_retired_key() -> None:
    first, second = bytes(32), bytes([1]) * 32
    before = Cipher(first)
    made = before.derive("audit")
    after = Cipher(second, older=[first])
    retired = Cipher(second, retired={before.key_id: derivation_base(first)})
    assert len(made) == 32
    assert after.derive("audit", before.key_id) == made == retired.derive("audit", before.key_id)
    assert len({made, before.derive("other"), after.derive("audit"), first}) == 4
    with pytest.raises(ConfigError, match="there is no key 0123abcd"):
        after.derive("audit", "0123abcd")


def test_decrypt_of_another_keys_text_names_both_keys(cipher: Cipher) -> None:
    text = Cipher(bytes(32)).encrypt(TOKEN, PLACE)
    with pytest.raises(ConfigError, match="another key file") as raised:
        cipher.decrypt(text, PLACE)
    assert text.split(":")[2] in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "glpat-CANARY-0123456789", "enc:v2:", "enc:v3:a:b", "enc:v2:x"]
)
def test_decrypt_of_no_encrypted_text_does_not_quote_it(cipher: Cipher, text: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form") as raised:
        cipher.decrypt(text, PLACE)
    assert "CANARY" not in str(raised.value)


@pytest.mark.parametrize("body", ["", "AA", "!!!!", "AAAA" * 3, "A" * 15, "é"])
def test_decrypt_of_a_broken_body_is_refused(cipher: Cipher, body: str) -> None:
    key_id = cipher.encrypt(TOKEN, PLACE).split(":")[2]
    with pytest.raises(ConfigError):
        cipher.decrypt(f"enc:v2:{key_id}:{body}", PLACE)


def test_key_file_is_private_and_lies_alone(tmp_path: Path) -> None:
    path = key_path(tmp_path / "data")
    create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["labtrawl.key"]


def test_key_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = key_path(tmp_path)
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="already; it is kept"):
        create_key_file(path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["labtrawl.key"]


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o777])
def test_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_path(tmp_path)
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"others can read the key file .*: run chmod 400"):
        open_cipher(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"ab" * 31, b"ab" * 33, b"zz" * 32, b"\xff" * 64])
def test_key_file_of_another_content_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labtrawl.key"
    path.write_bytes(content)
    path.chmod(0o400)
    with pytest.raises(ConfigError, match="holds no key of 256 bits"):
        open_cipher(path)


def test_key_file_that_is_missing_a_link_or_a_folder_is_refused(tmp_path: Path) -> None:
    create_key_file(key_path(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(key_path(tmp_path))
    for path, said in (
        (tmp_path / "no", "is missing"),
        (link, "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            open_cipher(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = key_path(tmp_path)
    create_key_file(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another user"):
        open_cipher(path)
