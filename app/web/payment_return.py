"""Where a processor's page leads back to. It says the same for all bookings: what was paid is for the customer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from app.core.ids import IdKind, WrongId, decode_id

PATH = "/payments/return"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = b"""<!doctype html>
<html lang="es">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Turnero</title>
<style>body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem }</style>
</head>
<body>
<p>Gracias. Ya pod&eacute;s cerrar esta p&aacute;gina: tu reserva muestra si el pago lleg&oacute;.</p>
<p lang="en">Thank you. You can close this page: your booking shows whether the payment has arrived.</p>
</body>
</html>
"""

NoteReturn = Callable[[UUID], Awaitable[None]]
"""The guest of this booking came back. Never raises for a booking that is none."""


def payment_return_routes(note: NoteReturn, page_url: str | None) -> list[HTTPRouteHandler]:
    """`GET /payments/return?booking=bkg_…`. `page_url`: the operator's own page, which it leads on to."""

    @get(PATH, include_in_schema=False)
    async def come_back(booking: Annotated[str, QueryParameter(max_length=100)] = "") -> Response[bytes]:
        try:
            await note(decode_id(IdKind.BOOKING, booking))
        except WrongId:
            return _page()
        if page_url is None:
            return _page()
        joint = "&" if "?" in page_url else "?"
        return Response(
            b"",
            status_code=303,
            media_type="text/plain",
            headers={**HEADERS, "Location": f"{page_url}{joint}{urlencode({'booking': booking})}"},
        )

    return [come_back]


def _page() -> Response[bytes]:
    return Response(_PAGE, media_type="text/html", headers=HEADERS)
