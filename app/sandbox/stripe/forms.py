"""Stripe's form encoding: `a[b]=1`, `list[0]=x`, `list[]=x`, nested as deep as objects are."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from app.sandbox.stripe.errors import wrong_param

MOST_PAIRS = 1_000
DEEPEST = 8
LONGEST_NAME = 400

Tree = dict[str, Any]
"""Names to texts or further trees; a list is a tree whose names are numbers."""


def decode(encoded: bytes) -> Tree:
    """The parameters of a query string or a body. A Refusal for what is no form, too much of it, or not UTF-8."""
    tree: Tree = {}
    pairs = [pair for pair in encoded.split(b"&") if pair]
    if len(pairs) > MOST_PAIRS:
        raise wrong_param(f"A request can have at most {MOST_PAIRS} parameters.", None)
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        _put(tree, _text(name), _text(value))
    return tree


def encode(tree: Tree, prefix: str = "") -> list[tuple[str, str]]:
    """The pairs in a fixed order: equal for equal parameters, however they were sent."""
    pairs: list[tuple[str, str]] = []
    for name in sorted(tree):
        full = f"{prefix}[{name}]" if prefix else name
        value = tree[name]
        pairs += encode(value, full) if isinstance(value, dict) else [(full, value)]
    return pairs


def _text(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise wrong_param("Invalid request: the parameters are not UTF-8.", None) from None
    if "\0" in text:
        raise wrong_param("Invalid request: the parameters contain a NUL character.", None)
    return text


def _put(tree: Tree, name: str, value: str) -> None:
    *parents, last = _path(name)
    for parent in parents:
        branch = tree.setdefault(parent or str(len(tree)), {})
        if not isinstance(branch, dict):
            raise wrong_param(f"Invalid parameter: {name[:80]} is both a value and a hash.", name[:80])
        tree = branch
    if isinstance(tree.get(last), dict):
        raise wrong_param(f"Invalid parameter: {name[:80]} is both a value and a hash.", name[:80])
    tree[last or str(len(tree))] = value


def _path(name: str) -> list[str]:
    """`a[b][]` → a, b and an empty one."""
    head, bracket, rest = name.partition("[")
    path = [head]
    if bracket:
        if not rest.endswith("]"):
            raise wrong_param(f"Invalid parameter name: {name[:80]}", None)
        path += rest[:-1].split("][")
    if len(path) > DEEPEST or len(name) > LONGEST_NAME or not head or any("[" in key or "]" in key for key in path):
        raise wrong_param(f"Invalid parameter name: {name[:80]}", None)
    return path
