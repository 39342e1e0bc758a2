"""Lists with cursors, newest first, and search."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from app.sandbox.stripe.errors import Json, Refusal, missing, wrong_param
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.store import Page
from app.sandbox.stripe.work import Work

Keep = Callable[[Json], bool]
_SCANNED = 500


def list_objects(
    work: Work,
    params: Params,
    kind: str,
    facts: Mapping[str, str] | None = None,
    *,
    keep: Keep | None = None,
    url: str | None = None,
) -> Json:
    """The page that `limit`, `starting_after`, `ending_before` and `created` name.

    `facts` narrow by what the store keeps of each object, `keep` by anything else.
    """
    limit = params.integer("limit", minimum=1, maximum=100) or 10
    before, after = _cursor(work, params, kind, "starting_after"), _cursor(work, params, kind, "ending_before")
    created_from, created_to = _created(params)
    params.done()
    if before is not None and after is not None:
        raise wrong_param("You can only pass one of starting_after or ending_before.", "ending_before")
    page = Page(limit + 1, before, after, facts, created_from, created_to)
    found = _kept(work, kind, page, keep) if keep else work.store.page(work.account, kind, page)
    has_more = len(found) > limit
    # The one that is too many is the furthest from the cursor.
    data = found[-limit:] if after is not None else found[:limit]
    return {"object": "list", "url": url or f"/v1/{kind}s", "has_more": has_more, "data": data}


def sublist(work: Work, kind: str, url: str, facts: Mapping[str, str]) -> Json:
    """The ten newest, as they are embedded in the object that they belong to."""
    found = work.store.page(work.account, kind, Page(11, facts=facts))
    return {"object": "list", "url": url, "has_more": len(found) > 10, "data": found[:10]}


def _kept(work: Work, kind: str, page: Page, keep: Keep) -> list[Json]:
    """As many as the page wants of those that `keep` passes, read in steps."""
    found: list[Json] = []
    before, after = page.before, page.after
    while len(found) < page.limit:
        step = Page(_SCANNED, before, after, page.facts, page.created_from, page.created_to)
        read = work.store.page(work.account, kind, step)
        passed = [one for one in read if keep(one)]
        found = passed + found if after is not None else found + passed
        if len(read) < _SCANNED:
            break
        edge = work.store.number(work.account, kind, read[0 if after is not None else -1]["id"])
        before, after = (before, edge) if after is not None else (edge, after)
    return found[-page.limit :] if after is not None else found[: page.limit]


def _cursor(work: Work, params: Params, kind: str, name: str) -> int | None:
    object_id = params.text(name)
    if object_id is None:
        return None
    number = work.store.number(work.account, kind, object_id)
    if number is None:
        raise missing(kind, object_id, name, 400)
    return number


def _created(params: Params) -> tuple[int | None, int | None]:
    """From and to, both included."""
    raw = params.section("created") if params.is_hash("created") else None
    if raw is None:
        exact = params.integer("created")
        return exact, exact
    over, least = raw.integer("gt"), raw.integer("gte")
    under, most = raw.integer("lt"), raw.integer("lte")
    lows = [bound for bound in (None if over is None else over + 1, least) if bound is not None]
    highs = [bound for bound in (None if under is None else under - 1, most) if bound is not None]
    return max(lows, default=None), min(highs, default=None)


_CLAUSE = re.compile(
    r"""\s*(?P<not>-)?(?P<field>[a-z_]+)(?:\[(?P<q>["'])(?P<key>(?:\\.|[^\\])*?)(?P=q)\])?\s*(?P<op>:|~|<=|>=|<|>)\s*"""
    r"""(?:(?P<vq>["'])(?P<text>(?:\\.|[^\\])*?)(?P=vq)|(?P<bare>null|-?[0-9]{1,18}))\s*(?P<join>AND|OR|$)""",
)
_FIELDS = {
    "payment_intent": {"amount", "created", "currency", "customer", "status"},
    "charge": {"amount", "created", "currency", "customer", "disputed", "refunded", "status"},
    "customer": {"created", "email", "name", "phone"},
}


def search_objects(work: Work, params: Params, kind: str) -> Json:
    """Stripe's search language: `metadata['order']:'6' AND status:'succeeded'`."""
    query = params.need_text("query", longest=1_000)
    limit = params.integer("limit", minimum=1, maximum=100) or 10
    cursor = params.text("page")
    params.done()
    clauses, is_any = _clauses(kind, query)
    before = None
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdigit():
            raise wrong_param("Invalid page.", "page")
        before = int(cursor[:18])
    newest = work.now - work.settings.search_lag_s if work.settings.search_lag_s else None
    # A text of the metadata narrows it without reading everything.
    facts = {} if is_any else {f"metadata:{c.key}": c.value for c in clauses if c.is_exact_metadata}
    page = Page(limit + 1, before, None, facts, None, newest)
    passes = any if is_any else all
    found = _kept(work, kind, page, lambda one: passes(clause.holds(one) for clause in clauses))
    data = found[:limit]
    has_more = len(found) > limit
    after = str(work.store.number(work.account, kind, data[-1]["id"])) if has_more else None
    url = f"/v1/{kind}s/search"
    return {"object": "search_result", "url": url, "has_more": has_more, "next_page": after, "data": data}


class _Clause:
    """One condition of a search."""

    def __init__(self, found: re.Match[str], query: str) -> None:
        self.is_not = found["not"] is not None
        self.field, self.operator = found["field"], found["op"]
        self.key = None if found["key"] is None else _unescaped(found["key"])
        self.value = found["bare"] if found["text"] is None else _unescaped(found["text"])
        self.is_null = found["bare"] == "null"
        if self.operator in {"<", ">", "<=", ">="} and not re.fullmatch(r"-?[0-9]{1,18}", self.value):
            raise _unreadable(query)

    @property
    def is_exact_metadata(self) -> bool:
        return self.field == "metadata" and self.operator == ":" and not self.is_not and not self.is_null

    def holds(self, body: Json) -> bool:
        value = body.get("metadata", {}).get(self.key) if self.field == "metadata" else body.get(self.field)
        return self._matches(value) != self.is_not

    def _matches(self, value: object) -> bool:
        if self.is_null or value is None:
            return self.is_null and value is None
        if self.operator in {":", "~"}:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return self.value.lower() in text.lower() if self.operator == "~" else text == self.value
        if not isinstance(value, int):
            return False
        bound = int(self.value)
        return {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound}[self.operator]


def _clauses(kind: str, query: str) -> tuple[list[_Clause], bool]:
    """The conditions, and whether any of them is enough."""
    clauses: list[_Clause] = []
    joins: set[str] = set()
    position = 0
    while "" not in joins:
        found = _CLAUSE.match(query, position)
        if found is None or len(clauses) == 10:
            raise _unreadable(query)
        clause = _Clause(found, query)
        if (clause.field == "metadata") != (clause.key is not None):
            raise _unreadable(query)
        if clause.field != "metadata" and clause.field not in _FIELDS[kind]:
            raise wrong_param(f"Field `{clause.field}` is an unsupported search field for resource.", "query")
        clauses.append(clause)
        joins.add(found["join"])
        position = found.end()
    if {"AND", "OR"} <= joins:
        raise _unreadable(query)
    return clauses, "OR" in joins


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _unreadable(query: str) -> Refusal:
    return wrong_param(f"We were unable to parse your search query: {query[:200]}", "query")
