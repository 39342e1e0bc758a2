"""`expand[]`: ids become the objects that they name. And what a client may see of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.sandbox.stripe.charges import embedded_refunds
from app.sandbox.stripe.errors import Json, wrong_param
from app.sandbox.stripe.store import PLATFORM
from app.sandbox.stripe.work import Work

MOST_PATHS = 20
DEEPEST = 4
_NEVER = frozenset({"id", "object", "url", "client_secret", "status", "type"})


def expand(work: Work, body: Json, paths: Sequence[str]) -> Json:
    """The answer with these properties in full; `data.` leads into a list."""
    if len(paths) > MOST_PATHS:
        raise wrong_param(f"You can expand at most {MOST_PATHS} properties.", "expand")
    for path in paths:
        names = path.split(".")
        if len(names) > DEEPEST or not all(names):
            raise wrong_param(f"You can only expand up to {DEEPEST} levels of properties.", "expand")
        _expand(work, body, names, path)
    return body


def render(body: Any) -> Any:
    """Without what the sandbox notes for itself."""
    if isinstance(body, list):
        return [render(one) for one in body]
    if not isinstance(body, dict):
        return body
    if not isinstance(body.get("object"), str):
        return {name: render(value) for name, value in body.items()}
    return {
        name: value if name == "metadata" else render(value) for name, value in body.items() if not name.startswith("_")
    }


def _expand(work: Work, body: Any, names: list[str], path: str) -> None:
    name, rest = names[0], names[1:]
    if not isinstance(body, dict):
        raise _refusal(path)
    if name == "data" and isinstance(body.get("data"), list):
        for one in body["data"] if rest else []:
            _expand(work, one, rest, path)
        return
    if name == "refunds" and body.get("object") == "charge":
        body["refunds"] = embedded_refunds(work, body)
    if name not in body or name in _NEVER or name.startswith("_"):
        raise _refusal(path)
    if isinstance(body[name], str):
        body[name] = _found(work, body[name], path)
    elif isinstance(body[name], list):
        body[name] = [_found(work, one, path) if isinstance(one, str) else one for one in body[name]]
    if rest and body[name] is not None:
        for one in body[name] if isinstance(body[name], list) else [body[name]]:
            _expand(work, one, rest, path)


def _found(work: Work, object_id: str, path: str) -> Json:
    """The object by its id; the platform sees those of its connected accounts too."""
    found = work.store.find(object_id)
    if found is None or (work.account not in {PLATFORM, found[0]} and object_id != work.account):
        raise _refusal(path)
    return found[1]


def _refusal(path: str) -> Exception:
    return wrong_param(
        f"This property cannot be expanded ({path[:100]}). You may want to try expanding another property.", "expand"
    )
