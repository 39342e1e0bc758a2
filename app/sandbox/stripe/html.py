"""Plain HTML without outside assets: one file, one style, readable without it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape

STYLE = """
:root { color-scheme: light dark; --edge: #8886; --accent: #1a56c4; --on-accent: #fff; }
@media (prefers-color-scheme: dark) { :root { --accent: #9dbcff; --on-accent: #10131a; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 68rem; padding: 1rem; }
a { color: var(--accent); }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem; display: block; overflow-x: auto; }
caption { text-align: left; font-size: 1.25rem; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--edge); }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: .5rem 0; }
label { display: grid; gap: .2rem; }
input, select, button { font: inherit; padding: .45rem .7rem; min-height: 2.75rem; border: 1px solid #767676;
  border-radius: .3rem; box-sizing: border-box; max-width: 100%; }
button { background: var(--accent); color: var(--on-accent); border-color: transparent; cursor: pointer; }
button.quiet { background: none; color: inherit; border-color: #767676; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.notice { border-left: .3rem solid var(--accent); padding: .5rem 1rem; margin: 1rem 0; }
code { overflow-wrap: anywhere; }
"""
_HASH = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def page(title: str, *parts: str, notice: str = "") -> bytes:
    """A whole page. Parts are HTML; title and notice are texts."""
    shown = f'<p class="notice" role="status">{escape(notice)}</p>' if notice else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · Local Stripe</title><style>{STYLE}</style></head><body>"
        '<a class="skip" href="#main">Skip to content</a>'
        '<header><nav aria-label="Sandbox"><a href="/_sandbox/">Local Stripe</a> · no real money</nav></header>'
        f'<main id="main"><h1>{escape(title)}</h1>{shown}{"".join(parts)}</main></body></html>\n'
    ).encode()


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML, the first of each row names it; caption and heads are texts."""
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    if not body:
        return f"<h2>{escape(caption)}</h2><p>None.</p>"
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def form(
    action: str,
    label: str,
    *fields: str,
    hidden: Mapping[str, str] | None = None,
    is_quiet: bool = False,
    about: str = "",
) -> str:
    """A form with one button. `about`: what it acts on, for those who hear the button alone."""
    kept = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in (hidden or {}).items())
    named = f' aria-label="{escape(f"{label}: {about}")}"' if about else ""
    quiet = ' class="quiet"' if is_quiet else ""
    return (
        f'<form method="post" action="/_sandbox/{escape(action)}">{kept}{"".join(fields)}'
        f'<button type="submit"{quiet}{named}>{escape(label)}</button></form>'
    )


def choice(name: str, label: str, options: Iterable[tuple[str, str]]) -> str:
    """A labelled list of value and text."""
    listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{escape(label)} <select name="{escape(name)}">{listed}</select></label>'


def entry(name: str, label: str) -> str:
    """A labelled line for a number."""
    return (
        f'<label>{escape(label)} <input name="{escape(name)}" inputmode="numeric" autocomplete="off" maxlength="40">'
        "</label>"
    )


def link(path: str, text: str) -> str:
    return f'<a href="/_sandbox/{escape(path)}">{escape(text)}</a>'


def code(text: object) -> str:
    return f"<code>{escape(str(text))}</code>"
