"""How identities are kept: each field sealed by AES-256-GCM, searched by a blind index.

The associated data of each field is its owner and its name, so that a sealed value moved to another row or column does
not open. Keys have names: a row says which key sealed it, and retired keys still open what they sealed.
Sources: NIST SP 800-38D (GCM, 96-bit random nonce), RFC 2104 (HMAC).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from monitor.errors import BadKey, UnknownKey, Unsealable

if TYPE_CHECKING:
    from monitor.settings import Settings

_NONCE: Final = 12
_KEY: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys of the identity door. `ring`: key id -> 32 octets; `current`: the one that seals."""

    current: str
    ring: dict[str, bytes]
    blind: bytes

    @classmethod
    def from_settings(cls, settings: Settings) -> Keys:
        """BadKey: a key is not the base64 of 32 octets."""
        ring = {name: _key(secret.get_secret_value()) for name, secret in settings.identity_keys_retired.items()}
        ring[settings.identity_key_id] = _key(settings.identity_key.get_secret_value())
        return cls(settings.identity_key_id, ring, _key(settings.blind_index_key.get_secret_value()))

    @classmethod
    def generate(cls) -> Keys:
        """Fresh keys, for a demo or a test."""
        return cls("k1", {"k1": secrets.token_bytes(_KEY)}, secrets.token_bytes(_KEY))

    def seal(self, owner: UUID | int, field: str, text: str) -> bytes:
        """Nonce and ciphertext of one field."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(self.ring[self.current]).encrypt(nonce, text.encode(), _bound(owner, field))
        return nonce + sealed

    def unseal(self, owner: UUID | int, field: str, key_id: str, sealed: bytes) -> str:
        """The reverse of `seal`. Raises UnknownKey, Unsealable."""
        try:
            key = self.ring[key_id]
        except KeyError:
            raise UnknownKey(f"key {key_id} is not held") from None
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(owner, field)).decode()
        except InvalidTag:
            raise Unsealable(f"field {field} of {owner} does not open") from None

    def index(self, field: str, text: str) -> bytes:
        """The blind index of a value, for search by equality: HMAC-SHA256 of the field's name and normal form."""
        return hmac.new(self.blind, f"{field}\x00{normal(field, text)}".encode(), hashlib.sha256).digest()


def normal(field: str, text: str) -> str:
    """The form in which two spellings of a number are one: width folded, no blanks or hyphens, X upper, no +86."""
    folded = unicodedata.normalize("NFKC", text).upper()
    kept = "".join(char for char in folded if char.isalnum() or char == "+")
    if field == "phone":
        kept = kept.removeprefix("+86")
        kept = kept.removeprefix("0086")
    return kept


def _bound(owner: UUID | int, field: str) -> bytes:
    return f"{owner}\x00{field}".encode()


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY:
        raise BadKey
    return key


def masked_name(name: str) -> str:
    """First and last character, the rest hidden: 陈秀兰 -> 陈*兰, 马军 -> 马*."""
    if len(name) <= 2:
        return name[:1] + "*"
    return name[0] + "*" * (len(name) - 2) + name[-1]


def masked_phone(phone: str) -> str:
    """138****0000; a short number keeps its last two digits."""
    return phone[:3] + "****" + phone[-4:] if len(phone) >= 11 else "****" + phone[-2:]


def masked_id_number(id_number: str) -> str:
    """All hidden but the last two characters."""
    return "*" * max(len(id_number) - 2, 0) + id_number[-2:]
