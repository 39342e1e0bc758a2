"""A provider's statement as CSV, at an address that is a secret for a few minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from litestar import Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from app.web.calendar import HEADERS, READS

WriteStatement = Callable[[str], Awaitable[AsyncIterator[bytes] | None]]
"""Token → the file in pieces, or None for one that opens nothing (any more)."""

_FILE = {**HEADERS, "Content-Disposition": 'attachment; filename="statement.csv"'}


def statement_routes(write: WriteStatement) -> list[HTTPRouteHandler]:
    """`GET /statements/{token}.csv`."""

    @route("/statements/{file:str}", http_method=READS, include_in_schema=False)
    async def statement_csv(file: FromPath[str]) -> Response[bytes] | Stream:
        token, dot, kind = file.rpartition(".")
        pieces = await write(token) if dot and kind == "csv" else None
        if pieces is None:
            return Response(b"Not found\n", status_code=404, media_type="text/plain", headers=HEADERS)
        return Stream(pieces, media_type="text/csv; charset=utf-8; header=present", headers=_FILE)

    return [statement_csv]
