"""Which subscriptions may be served by one execution: those that look at the same thing, in the same words, with equal
rights. What is not surely so is not shared."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

import msgspec
from graphql import (
    Executor,
    FieldNode,
    GraphQLObjectType,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields

from app.resolvers.live_channel import LiveStream
from app.web.graphql.documents import Call, Document, Operation
from app.web.graphql.readings import Attribute
from app.web.graphql.shapes import Either, Field, Leaf, Many, NoRoom, Shape, Shaper

OPENING_ARGUMENT = "after"
"""The argument of a subscription that chooses what one client gets first, and nothing after that."""
_MOST_FIELDS = 2_000
_EVERYBODY = object()


@runtime_checkable
class HasRights(Protocol):
    """A context of which `rights` say all that its viewer may see: with equal ones, the same is seen."""

    @property
    def rights(self) -> Hashable: ...


def sharing_key(executor: Executor[Any], call: Call, stream: LiveStream[Any, Any]) -> Hashable | None:
    """Operations of equal keys are told the very same, but for the first thing each gets. None: share with nobody.

    The stream's channel has to be kept alive for as long as the key is used.
    """
    context = executor.context_value
    rights: Hashable
    if stream.channel.is_public and is_plain(executor, call):
        rights = _EVERYBODY
    elif isinstance(context, HasRights):
        rights = ("as", context.rights)
    else:
        return None
    variables = _said(call)
    if variables is None:
        return None
    # `to_event` counts too: one that was made for a viewer equals no other, a class's own method equals itself.
    key = id(stream.channel), stream.to_event, call.document.text, call.operation.name, variables, rights
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _said(call: Call) -> bytes | None:
    """The variables that matter, as they were sent: 1, 1.0 and true are equal in Python, and not here."""
    names = {definition.variable.name.value for definition in call.operation.node.variable_definitions or ()}
    names -= opening_variables(call.document, call.operation)
    given = {name: value for name, value in call.variables.items() if name in names}
    try:
        return msgspec.json.encode(given, order="deterministic")
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def opening_variables(document: Document, operation: Operation) -> frozenset[str]:
    """Variables that are used as the root field's `after`, and nowhere else."""
    known = document.openings.get(operation.name)
    if known is None:
        known = document.openings[operation.name] = _find_openings(document, operation.node)
    return known


def _find_openings(document: Document, operation: OperationDefinitionNode) -> frozenset[str]:
    chosen: list[VariableNode] = [
        argument.value
        for field in operation.selection_set.selections
        if isinstance(field, FieldNode)
        for argument in field.arguments or ()
        if argument.name.value == OPENING_ARGUMENT and isinstance(argument.value, VariableNode)
    ]
    uses: dict[str, int] = {}
    stack: list[object] = [operation, *document.fragment_definitions.values()]
    while stack:
        node = stack.pop()
        if isinstance(node, VariableNode):
            uses[node.name.value] = uses.get(node.name.value, 0) + 1
        elif isinstance(node, VariableDefinitionNode):
            stack.append(node.directives)
        elif isinstance(node, Node):
            stack.extend(getattr(node, key, None) for key in node.keys)
        elif isinstance(node, list | tuple):
            stack.extend(node)
    names = [variable.name.value for variable in chosen]
    return frozenset(name for name in names if uses[name] == names.count(name))


def is_plain(executor: Executor[Any], call: Call) -> bool:
    """Is all that is selected attributes of objects, so that no resolver is called that could look at who asks?"""
    document = call.document
    if document.switches is None:
        return False
    variables = executor.variable_values.coerced
    values = tuple([variables.get(name) for name in document.switches])
    if not all(isinstance(value, bool) for value in values):
        return False
    key = (call.operation.name, values)
    known = document.plain.get(key)
    if known is None:
        known = document.plain[key] = _find_plain(executor, call.operation.node)
    return known


def _find_plain(executor: Executor[Any], operation: OperationDefinitionNode) -> bool:
    schema: GraphQLSchema = executor.schema
    root = schema.subscription_type
    if root is None:
        return False

    known = schema, executor.fragments, executor.variable_values

    # Not by the executor, which remembers what it collected by the identity of what is thrown away here.
    def collect(type_: GraphQLObjectType, details: FieldDetailsList) -> GroupedFieldSet:
        return collect_subfields(*known, operation, type_, details, executor.hide_suggestions).grouped_field_set

    fields = collect_fields(*known, root, operation, executor.hide_suggestions).grouped_field_set
    shaper = Shaper(schema, collect, _MOST_FIELDS)
    try:
        for details in fields.values():
            field = schema.get_field(root, details[0].node.name.value)
            shape = None if field is None else shaper.value(field.type, details)
            if shape is None or not _is_plain(shape):
                return False
    except (NoRoom, RecursionError):
        return False
    return True


def _is_plain(shape: Shape) -> bool:
    match shape:
        case Leaf():
            return True
        case Many():
            return _is_plain(shape.item)
        case Either():
            return all(map(_is_plain, shape.choices.values()))
        case _:
            fields = [part.content for part in shape.parts if isinstance(part.content, Field)]
            return all(isinstance(field.reading, Attribute) and _is_plain(field.shape) for field in fields)
