"""Facts as bytes, for a cache that other processes share. What it gives back is believed only when it is whole."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import msgspec

from app.domain.instants import EPOCH
from app.domain.plan import Window
from app.queries.availability_facts import Facts, PackedRow, holidays_end, pack_rows, read_facts_text, unpack_rows

ENCODING = 1
"""Counted up with every change of what the bytes, or the texts of `service_facts`, mean."""

_DIGEST_BYTES = 16
_MINUTE = timedelta(minutes=1)


class _Body(msgspec.Struct, array_like=True, frozen=True):
    first_minute: int
    past_minute: int
    epoch: int
    text: str
    versions: list[tuple[UUID, int]]
    busy: list[PackedRow]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)


def encode_facts(key: str, facts: Facts) -> bytes:
    """`key` goes into the checksum: bytes found under another key are not taken for these. Starts are whole minutes."""
    body = _encoder.encode(
        _Body(
            (facts.starts.from_utc - EPOCH) // _MINUTE,
            (facts.starts.to_utc - EPOCH) // _MINUTE,
            facts.epoch,
            facts.text,
            list(facts.versions.items()),
            pack_rows(facts.busy),
        )
    )
    return digest(key, body) + body


def decode_facts(key: str, value: bytes, today: date) -> Facts | None:
    """None for anything that `encode_facts` did not write under this key."""
    body = value[_DIGEST_BYTES:]
    if value[:_DIGEST_BYTES] != digest(key, body):
        return None
    try:
        found = _decoder.decode(body)
        starts = Window(_at(found.first_minute), _at(found.past_minute))
        service = read_facts_text(found.text, starts, holidays_end(starts, today))
        return Facts(starts, found.epoch, found.text, service, unpack_rows(found.busy), dict(found.versions))
    except (msgspec.DecodeError, ValueError, OverflowError, KeyError):
        return None


def digest(key: str, body: bytes) -> bytes:
    """Of these bytes, under this key, in this encoding."""
    return blake2b(body, digest_size=_DIGEST_BYTES, key=blake2b(f"{ENCODING}:{key}".encode()).digest()).digest()


def _at(minute: int) -> datetime:
    return EPOCH + minute * _MINUTE
