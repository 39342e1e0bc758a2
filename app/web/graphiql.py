"""GraphiQL from the package itself: the page, its assets and its example operations. No other host is ever asked.

The assets are built from `clients/graphiql` and committed under `static/graphiql`; their names carry a hash of their
content, so browsers keep them for good. The page itself is made for each request, because its
Content-Security-Policy admits scripts and styles by a nonce that must not repeat.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

ASSETS_PATH = "/graphiql/assets"
LICENCES = "third-party-licences.txt"

_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "txt": "text/plain"}
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,}")
# What could end the script element, open a comment in it, or break a line of JavaScript; all are valid JSON escapes.
_UNSAFE_IN_SCRIPT = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Turnero · GraphiQL</title>
<link rel="icon" href="data:,">
<link rel="license" href="{assets}/{licences}">
<link rel="stylesheet" href="{assets}/{style}">
</head>
<body>
<div id="graphiql"><p class="loading">Loading GraphiQL…</p></div>
<noscript>GraphiQL needs JavaScript. The API answers POST requests without it.</noscript>
<script type="application/json" id="page-data">{data}</script>
<script nonce="{nonce}" src="{assets}/{script}"></script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class ExampleOperation:
    """One tab of the page; `query`, `variables_json` and `headers_json` are the texts of its panes.

    In variables, `<today>` and `<today+N>` become dates of the visitor's own calendar in the browser.
    """

    name: str
    query: str
    variables_json: str = ""
    headers_json: str = ""


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    media_type: str
    cache_control: str


def load_examples() -> tuple[ExampleOperation, ...]:
    """The operations of the demo in `examples/`, in the order of their file names.

    `NN-name.graphql` is the operation, its first line `# its title`; `NN-name.json` its variables and
    `NN-name.headers.json` its headers, where it has them.
    """
    folder = files("app.web") / "examples"
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.is_file()}
    stems = sorted(name.removesuffix(".graphql") for name in texts if name.endswith(".graphql"))
    return tuple(
        ExampleOperation(
            name=texts[f"{stem}.graphql"].partition("\n")[0].lstrip("# "),
            query=texts[f"{stem}.graphql"],
            variables_json=texts.get(f"{stem}.json", ""),
            headers_json=texts.get(f"{stem}.headers.json", ""),
        )
        for stem in stems
    )


def new_nonce() -> str:
    """A fresh nonce of 144 random bits for one rendering of the page."""
    return secrets.token_urlsafe(18)


def content_security_policy(nonce: str) -> str:
    """The Content-Security-Policy of the page that was rendered with this nonce.

    Nothing runs but the script that carries the nonce, and nothing is fetched but from this host. `ws: wss:` are
    spelt out because Safari before 15.4 does not count them as `'self'`. Raises ValueError for a nonce that is short or
    could end the directive.
    """
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce has at least 16 characters of A-Z, a-z, 0-9, - and _")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'self' 'nonce-{nonce}'",
            "connect-src 'self' ws: wss:",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def page_headers(nonce: str) -> dict[str, str]:
    """All response headers of the page.

    It is never cached, for its nonce would repeat, and varies by Accept, for the same address answers GraphQL over GET.
    """
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": content_security_policy(nonce),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }


def render_graphiql(operations: Sequence[ExampleOperation], nonce: str, endpoint: str = "/graphql") -> bytes:
    """The page in UTF-8, to be sent with `page_headers(nonce)`.

    `endpoint` is a path of this host: operations are posted there, and subscriptions open their WebSocket there.
    """
    manifest = _manifest()
    page = _PAGE.format(
        assets=ASSETS_PATH,
        licences=LICENCES,
        style=manifest["style"],
        script=manifest["script"],
        nonce=escape(nonce),
        data=_script_data(operations, endpoint),
    )
    return page.encode()


def graphiql_routes() -> list[HTTPRouteHandler]:
    """The handlers of the page's assets, under `/graphiql/assets/`. A name that is not one of them is 404."""

    @get(f"{ASSETS_PATH}/{{name:str}}", include_in_schema=False, sync_to_thread=False)
    def graphiql_asset(name: FromPath[str]) -> Response[bytes]:
        asset = _assets().get(name)
        if asset is None:
            raise NotFoundException
        headers = {"Cache-Control": asset.cache_control, "X-Content-Type-Options": "nosniff"}
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    return [graphiql_asset]


def _script_data(operations: Sequence[ExampleOperation], endpoint: str) -> str:
    """What the page's script reads, as JSON that stays inside its script element whatever the texts hold."""
    tabs = [
        {"name": each.name, "query": each.query, "variables": each.variables_json, "headers": each.headers_json}
        for each in operations
    ]
    data = json.dumps({"endpoint": endpoint, "operations": tabs}, ensure_ascii=False)
    return data.translate(_UNSAFE_IN_SCRIPT)


def _static_folder() -> Traversable:
    return files("app.web") / "static" / "graphiql"


@cache
def _manifest() -> Mapping[str, str]:
    """The file names of this build's `script` and `style`."""
    manifest: dict[str, str] = json.loads((_static_folder() / "manifest.json").read_text("utf-8"))
    return MappingProxyType(manifest)


@cache
def _assets() -> Mapping[str, _Asset]:
    """The servable files by name, read once. Only names in here are ever looked up, so no path can be climbed."""
    lasting = "public, max-age=31536000, immutable"
    cache_controls = {_manifest()["script"]: lasting, _manifest()["style"]: lasting, LICENCES: "no-cache"}
    return MappingProxyType(
        {
            name: _Asset((_static_folder() / name).read_bytes(), _MEDIA_TYPES[name.rpartition(".")[2]], cache_control)
            for name, cache_control in cache_controls.items()
        }
    )
