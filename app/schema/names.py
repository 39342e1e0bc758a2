"""How Python's names are spelled in GraphQL."""

from __future__ import annotations

from functools import lru_cache

from strawberry.schema.name_converter import NameConverter
from strawberry.utils.str_converters import to_camel_case

_camel_case = lru_cache(maxsize=None)(to_camel_case)  # names of the schema alone come here, never a client's


class RememberedNames(NameConverter):
    """As the stock one, which spells the names of all arguments anew in each call of a resolver."""

    def apply_naming_config(self, name: str) -> str:
        return _camel_case(name)
