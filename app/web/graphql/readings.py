"""How the value of a field is had from its object, where that takes no more than Python itself.

The schema's library wraps each getter and method into a resolver of its own. Here those wrappers are recognised by what
they are and by what they close over, without importing the library; whatever looks in the least different is left to
graphql-core, which calls it. So a new version of the library can make answers slower, but never wrong:
`tests/web/test_compiled.py` says when that happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from keyword import iskeyword
from types import FunctionType
from typing import Any, TypeGuard

from graphql import GraphQLAbstractType, GraphQLField, GraphQLObjectType

_LIBRARY = "strawberry."
_DEFINITION = "strawberry-definition"
_GETTER = "GraphQLCoreConverter.from_resolver.<locals>._get_basic_result"
_CALLER = "GraphQLCoreConverter.from_resolver.<locals>._resolver"
_ASYNC_CALLER = "GraphQLCoreConverter.from_resolver.<locals>._async_resolver"
_MAKES_INFO = "GraphQLCoreConverter.from_resolver.<locals>._strawberry_info_from_graphql"
_CHAIN = "GraphQLCoreConverter.from_resolver.<locals>.wrap_field_extensions.<locals>.extension_resolver"
_IS_TYPE_OF = "GraphQLCoreConverter.from_object.<locals>._get_is_type_of.<locals>.is_type_of"
_RESOLVE_TYPE = frozenset(
    {
        "GraphQLCoreConverter.from_interface.<locals>._get_resolve_type.<locals>.resolve_type",
        "StrawberryUnion.get_type_resolver.<locals>._resolve_union_type",
    }
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value is an attribute of the object."""

    name: str


@dataclass(frozen=True, slots=True)
class Method:
    """The value is what this function gives for the object, at once and without anything else."""

    function: Callable[[Any], Any]


Reading = Attribute | Method


@dataclass(frozen=True, slots=True)
class Resolver:
    """An async function that gives the value, without the library's layers around it.

    `info` makes what the library calls so of what graphql-core does; `arguments` makes, of source, that and the values
    that graphql-core found, those that the function is called with. `info_name`: under which of them it gets `info`.
    `is_method`: it gets the source first.
    """

    function: Callable[..., Awaitable[Any]]
    info: Callable[[Any], Any]
    arguments: Callable[[Any, Any, dict[str, Any]], tuple[list[Any], dict[str, Any]]]
    info_name: str | None
    is_method: bool


def resolver_of(field: GraphQLField) -> Resolver | None:
    """None when the field's resolver has to be called as graphql-core does."""
    resolve = field.resolve
    definition: Any = field.extensions.get(_DEFINITION)
    if not _is_library_function(resolve) or resolve.__qualname__ != _ASYNC_CALLER or not _is_usual(definition):
        return None
    closure = _closure(resolve)
    chain, info = closure.get("_get_result_with_extensions"), closure.get("_strawberry_info_from_graphql")
    if not _is_chain_of(chain, definition, closure) or not _is_library_function(info):
        return None
    resolver, get = definition.base_resolver, chain.__globals__.get("get_arguments")
    converter: Any = _closure(chain).get("self")
    if info.__qualname__ != _MAKES_INFO or not _is_library_function(get) or converter is None:
        return None
    if not iscoroutinefunction(resolver.wrapped_func) or resolver.parent_parameter or resolver.root_parameter:
        return None

    def arguments(source: Any, info: Any, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        found: tuple[list[Any], dict[str, Any]] = get(
            field=definition,
            source=source,
            info=info,
            kwargs=values,
            config=converter.config,
            scalar_registry=converter.scalar_registry,
        )
        return found

    named = resolver.info_parameter
    info_name = None if named is None else named.name
    return Resolver(resolver.wrapped_func, info, arguments, info_name, resolver.self_parameter is not None)


def reading_of(field: GraphQLField) -> Reading | None:
    """How the field is read; None when its resolver has to be called as graphql-core does."""
    resolve = field.resolve
    definition: Any = field.extensions.get(_DEFINITION)
    if field.args or not _is_usual(definition) or not _is_library_function(resolve):
        return None
    if resolve.__qualname__ == _GETTER:
        return _attribute(_closure(resolve), definition)
    if resolve.__qualname__ == _CALLER:
        return _method(_closure(resolve), definition)
    return None


def tells_by_object_alone(object_type: GraphQLObjectType) -> bool:
    """Does `is_type_of` need nothing but the object? Also when there is none."""
    check = object_type.is_type_of
    return check is None or (_is_library_function(check) and check.__qualname__ == _IS_TYPE_OF)


def resolves_by_object_alone(abstract_type: GraphQLAbstractType) -> bool:
    """Does `resolve_type` need nothing but the object, the schema, and the types' `is_type_of`?"""
    resolve = abstract_type.resolve_type
    return _is_library_function(resolve) and resolve.__qualname__ in _RESOLVE_TYPE


def _attribute(closure: dict[str, object], definition: Any) -> Attribute | None:
    name = definition.python_name
    if not _is_same(closure.get("field"), definition) or not definition.is_basic_field:
        return None
    if definition.default_resolver is not getattr or not isinstance(name, str):
        return None
    return Attribute(name) if name.isidentifier() and not iskeyword(name) and not name.startswith("__") else None


def _method(closure: dict[str, object], definition: Any) -> Method | None:
    if not _is_chain_of(closure.get("_get_result_with_extensions"), definition, closure):
        return None
    resolver = definition.base_resolver
    if definition.is_async or not resolver.self_parameter:
        return None
    if len(resolver.signature.parameters) != 1 or not callable(resolver.wrapped_func):
        return None
    return Method(resolver.wrapped_func)


def _is_usual(definition: Any) -> bool:
    """Is it the library's own kind of field?"""
    kind = type(definition)
    return f"{kind.__module__}.{kind.__qualname__}" == "strawberry.types.field.StrawberryField"


def _is_chain_of(chain: object, definition: Any, closure: dict[str, object]) -> TypeGuard[FunctionType]:
    """Does it call the field's own function, with nothing around it?"""
    if closure.get("field_exception_handlers") != () or not _is_library_function(chain):
        return False
    links = _closure(chain)
    if chain.__qualname__ != _CHAIN or not _is_same(links.get("field"), definition):
        return False
    return links.get("extension_functions") == [] and not definition.extensions and definition.base_resolver is not None


def _is_library_function(value: object) -> TypeGuard[FunctionType]:
    return isinstance(value, FunctionType) and value.__module__.startswith(_LIBRARY)


def _is_same(one: object, other: object) -> bool:
    return one is other


def _closure(function: FunctionType) -> dict[str, object]:
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}
