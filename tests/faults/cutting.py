"""A cable that is cut again and again, in the middle of whatever is on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Cable:
    """Passes connections on to a port of this machine, and cuts each after a random time, until it `is_whole`."""

    target: int
    chance: random.Random
    between_s: tuple[float, float]
    cuts: int = 0
    cut_in_frames: int = 0
    """Of these: so many had passed on a part of what the server was just sending."""
    is_whole: bool = False
    port: int = 0
    _lines: set[asyncio.Task[None]] = field(default_factory=set)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
                try:
                    await self._both_ways(reader, writer, far_reader, far_writer)
                finally:
                    _end(far_writer)
        finally:
            _end(writer)
            self._lines.discard(task)

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        cut_at = asyncio.get_running_loop().time() + self.chance.uniform(*self.between_s)
        ways = [
            asyncio.create_task(self._pass_on(reader, far_writer, None)),
            asyncio.create_task(self._pass_on(far_reader, writer, cut_at)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut_at: float | None) -> None:
        with suppress(OSError):
            while data := await self._read(reader, cut_at):
                if cut_at is not None and not self.is_whole and asyncio.get_running_loop().time() >= cut_at:
                    part = data[: self.chance.randrange(len(data))]
                    writer.write(part)
                    await asyncio.sleep(0.01)  # so that the part arrives
                    self.cut_in_frames += bool(part)
                    self.cuts += 1
                    return
                writer.write(data)
                await writer.drain()

    async def _read(self, reader: asyncio.StreamReader, cut_at: float | None) -> bytes:
        """Empty at the end, and when nothing comes for long after the time to cut."""
        while True:
            try:
                async with asyncio.timeout(1.0):
                    return await reader.read(65_536)
            except TimeoutError:
                if cut_at is not None and not self.is_whole and asyncio.get_running_loop().time() >= cut_at:
                    self.cuts += 1
                    return b""

    async def end(self) -> None:
        for line in (lines := tuple(self._lines)):
            line.cancel()
        if lines:
            await asyncio.wait(lines)


def _end(writer: asyncio.StreamWriter) -> None:
    """At once. The writer is closed as well, so that it does not complain of having been left open."""
    writer.transport.abort()
    writer.close()


@asynccontextmanager
async def cable(target: int, chance: random.Random, between_s: tuple[float, float]) -> AsyncIterator[Cable]:
    made = Cable(target, chance, between_s)
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
