"""A strict reader of event streams: LF alone ends lines, and an empty line an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from httpx import Response


@dataclass(slots=True)
class Told:
    """What one stream has told."""

    response: Response
    _pieces: AsyncIterator[bytes]
    _rest: bytes = b""
    retries: list[int] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    async def next(self, timeout_s: float = 30) -> tuple[str, Any] | None:
        """(event, data), or None at the end. Empty data is None, too."""
        async with asyncio.timeout(timeout_s):
            while (block := await self._block()) is not None:
                found = self._read(block)
                if found is not None:
                    return found
        return None

    async def payload(self) -> Any:
        told = await self.next()
        assert told is not None
        assert told[0] == "next", told
        return told[1]

    async def _block(self) -> str | None:
        while b"\n\n" not in self._rest:
            piece = await anext(self._pieces, None)
            if piece is None:
                assert not self._rest
                return None
            self._rest += piece
        block, _, self._rest = self._rest.partition(b"\n\n")
        assert b"\r" not in block
        return block.decode()

    def _read(self, block: str) -> tuple[str, Any] | None:
        event, data = "message", None
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments.append(value)
                case "retry":
                    self.retries.append(int(value))
                case "id":
                    self.ids.append(value)
                case "event":
                    event = value
                case "data":
                    data = value
        return None if data is None else (event, msgspec.json.decode(data) if data else None)


def told_by(response: Response) -> Told:
    return Told(response, response.aiter_raw())
