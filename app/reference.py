"""Files that are made from the code and committed: `schema.graphql` and `docs/settings.md`."""

from __future__ import annotations

import difflib
import json
import types
import typing
from pathlib import Path

from annotated_types import Ge, Le
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from app.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SCHEMA_FILE = ROOT / "schema.graphql"
SETTINGS_FILE = ROOT / "docs" / "settings.md"

_SETTINGS_HEAD = """\
# Settings

Made from `app/core/settings.py` by `make schema`; edit that file, not this one.

Every process reads its settings from the environment, then from a file `.env` in its working folder. An empty value
counts as not set. None is needed: `make up` runs with the defaults. The options of `turnero up` and `turnero api` rule
over the environment.

| name | value | default | what it does |
|---|---|---|---|
"""


def schema_sdl() -> str:
    """The GraphQL schema, as printed."""
    from app.schema.root import schema

    return schema.as_str().rstrip() + "\n"


def settings_markdown() -> str:
    """`docs/settings.md`: one row for each field of Settings, in their order."""
    rows = [
        f"| {_names(name, field)} | {_value(field)} | {_default(field)} | {_cell(field.description or '')} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return _SETTINGS_HEAD + "".join(rows)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def difference(path: Path, text: str) -> str:
    """How the committed file differs from `text`, as a unified diff; empty when it does not."""
    old = path.read_text() if path.exists() else ""
    lines = difflib.unified_diff(
        old.splitlines(), text.splitlines(), f"{path.name} (committed)", path.name, lineterm=""
    )
    return "\n".join(lines)


def _names(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        # The field's own name is there for tests, which pass it as an argument.
        return "<br>".join(f"`{choice}`" for choice in alias.choices if isinstance(choice, str) and choice != name)
    return f"`TURNERO_{name.upper()}`"


def _value(field: FieldInfo) -> str:
    low = next((m.ge for m in field.metadata if isinstance(m, Ge)), None)
    high = next((m.le for m in field.metadata if isinstance(m, Le)), None)
    limits = f", {low} to {high}" if high is not None else f", {low} or more" if low is not None else ""
    return _kind(field.annotation) + limits


def _kind(annotation: object) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if origin is list:
        return "JSON list"
    names = {int: "whole number", bool: "`true` or `false`", str: "text", Path: "path", SecretStr: "secret text"}
    return next((text for kind, text in names.items() if annotation is kind), str(annotation))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    return f"`{value}`" if isinstance(value, str | Path) else f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
