"""Measures a document: depth, aliases, directives, repeats and cost, in one pass before anything else looks at it.

Every selection is visited once: a fragment is measured once and its measure reused wherever it is spread, so the work
grows with the length of the document, not with what the document would expand to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLCompositeType,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from app.web.graphql.limits import (
    MAX_NESTING,
    Cost,
    Limits,
    PageSize,
    bounded,
    cost_error,
    literal_value,
    nesting_error,
    page_size,
    too_complex_error,
)

_INTROSPECTION_LISTS = frozenset(
    {"types", "directives", "fields", "args", "inputFields", "enumValues", "interfaces", "possibleTypes"}
)


@dataclass(slots=True)
class _Shape:
    """Measure of one selection set. `lists` and `below` are its plain lists and what is below them; the field that
    owns the set decides how often that counts."""

    depth: int = 0
    flat: Cost = field(default_factory=Cost)
    lists: int = 0
    below: Cost = field(default_factory=Cost)
    introspection: int = 0

    def include(self, other: _Shape) -> None:
        """The set of a fragment, spread in this one."""
        self.depth = max(self.depth, other.depth)
        self.flat.add(1, other.flat)
        self.lists = bounded(self.lists + other.lists)
        self.below.add(1, other.below)
        self.introspection = bounded(self.introspection + other.introspection)


@dataclass(frozen=True, slots=True)
class Measured:
    """`costs` has one entry for each operation, in order. `steps` counts the selections visited."""

    errors: tuple[GraphQLError, ...]
    costs: tuple[Cost, ...]
    steps: int


class _NestedTooDeeply(Exception):
    """Selection sets nest deeper than `MAX_NESTING`."""


def measure(schema: GraphQLSchema, document: DocumentNode, limits: Limits, *, introspection: bool) -> Measured:
    """Measure every operation. Works on documents that are not valid too: what is unknown counts as an object."""
    return _Measurer(schema, document, limits, introspection).run()


class _Measurer:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode, limits: Limits, introspection: bool) -> None:
        self.schema = schema
        self.limits = limits
        self.introspection = introspection
        self.operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.shapes: dict[tuple[str, bool], _Shape] = {}
        self.names: Counter[str] = Counter()
        self.aliases = self.directives = self.steps = 0
        self.introspects: FieldNode | None = None

    def run(self) -> Measured:
        try:
            shapes = [self._operation(node) for node in self.operations]
            for name in self.fragments:
                if (name, True) not in self.shapes:  # also those that nothing spreads: the other rules walk them too
                    self._fragment(name, 0, meta=False)
        except _NestedTooDeeply:
            return Measured((nesting_error(),), (), self.steps)
        costs = tuple(self._total(shape) for shape in shapes)
        return Measured(tuple(self._errors(shapes, costs)), costs, self.steps)

    def _errors(self, shapes: Sequence[_Shape], costs: Sequence[Cost]) -> list[GraphQLError]:
        limits = self.limits
        overlaps = sum(count * count for count in self.names.values())
        depth = max((shape.depth for shape in [*shapes, *self.shapes.values()]), default=0)
        meta = max((shape.introspection for shape in [*shapes, *self.shapes.values()]), default=0)
        found = (
            ("depth", limits.depth, depth, "nests fields {found} deep"),
            ("aliases", limits.aliases, self.aliases, "has {found} aliases"),
            ("directives", limits.directives, self.directives, "has {found} directives"),
            ("overlaps", limits.overlaps, overlaps, "repeats the same fields too often ({found})"),
            ("introspection", limits.introspection_cost, meta, "asks for introspection that costs {found}"),
        )
        errors = [
            too_complex_error(name, most, count, f"The document {text.format(found=count)}; the limit is {most}.")
            for name, most, count, text in found
            if count > most
        ]
        for operation, cost in zip(self.operations, costs, strict=True):
            error = None if cost.parts else cost_error(operation, cost, {}, limits)
            if error is not None:
                errors.append(error)
        if self.introspects is not None and not self.introspection:
            message = "Introspection is closed here. The schema is published with the documentation."
            extensions = {"code": "FORBIDDEN", "rule": "introspection"}
            errors.append(GraphQLError(message, self.introspects, extensions=extensions))
        return errors

    def _total(self, shape: _Shape) -> Cost:
        total = Cost(shape.lists)
        total.add(1, shape.flat)
        total.add(self.limits.list_factor, shape.below)
        return total

    def _operation(self, node: OperationDefinitionNode) -> _Shape:
        self.directives += len(node.directives or ())
        self.directives += sum(len(definition.directives or ()) for definition in node.variable_definitions or ())
        return self._walk(node.selection_set, self.schema.get_root_type(node.operation), 0, meta=False)

    def _fragment(self, name: str, level: int, *, meta: bool) -> _Shape:
        """The measure of a fragment, made once. A fragment inside itself adds nothing: another rule refuses it."""
        key = (name, meta)
        known = self.shapes.get(key)
        if known is not None:
            return known
        node = self.fragments.get(name)
        self.shapes[key] = _Shape()
        if node is None:
            return self.shapes[key]
        if (name, not meta) not in self.shapes:
            self.directives += len(node.directives or ())
        shape = self._walk(node.selection_set, self._type_named(node.type_condition.name.value), level, meta=meta)
        self.shapes[key] = shape
        return shape

    def _type_named(self, name: str) -> GraphQLCompositeType | None:
        found = self.schema.get_type(name)
        return found if is_composite_type(found) else None

    def _walk(
        self, selection_set: SelectionSetNode, parent: GraphQLCompositeType | None, level: int, *, meta: bool
    ) -> _Shape:
        if level > MAX_NESTING:
            raise _NestedTooDeeply
        shape = _Shape()
        for selection in selection_set.selections:
            self.steps += 1
            self.directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                self._field(shape, selection, parent, level, meta)
            elif isinstance(selection, FragmentSpreadNode):
                shape.include(self._fragment(selection.name.value, level + 1, meta=meta))
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self._type_named(condition.name.value) if condition else parent
                shape.include(self._walk(selection.selection_set, inner, level + 1, meta=meta))
        return shape

    def _field(
        self, shape: _Shape, node: FieldNode, parent: GraphQLCompositeType | None, level: int, meta: bool
    ) -> None:
        self.aliases += node.alias is not None
        self.names[(node.alias or node.name).value] += 1
        name = node.name.value
        if not meta and name in {"__schema", "__type"}:
            self.introspects = self.introspects or node
            meta = True
        if meta:
            self._introspection_field(shape, node, level)
            return
        definition = self._definition(parent, name)
        if node.selection_set is None:
            shape.depth = max(shape.depth, 1)
            return
        inner = get_named_type(definition.type) if definition else None
        below = self._walk(node.selection_set, inner if is_composite_type(inner) else None, level + 1, meta=False)
        shape.depth = max(shape.depth, 1 + below.depth)
        shape.introspection = bounded(shape.introspection + below.introspection)
        self._charge(shape, node, definition, below)

    def _charge(self, shape: _Shape, node: FieldNode, definition: GraphQLField | None, below: _Shape) -> None:
        page = self._page(node, definition)
        is_list = definition is not None and is_list_type(get_nullable_type(definition.type))
        if page is None and is_list:
            shape.lists = bounded(shape.lists + 1)
            shape.below.add(1, self._total(below))
            return
        shape.flat.constant = bounded(shape.flat.constant + 1)
        if page is None:
            shape.flat.add(1, self._total(below))
        elif is_list:
            shape.flat.add(page, self._total(below))
        else:
            # A connection: its own lists (edges, nodes) have as many items as the page; the rest of it is there once.
            shape.flat.add(1, below.flat)
            items = Cost(below.lists)
            items.add(1, below.below)
            shape.flat.add(page, items)

    def _introspection_field(self, shape: _Shape, node: FieldNode, level: int) -> None:
        if node.selection_set is None:
            return
        below = self._walk(node.selection_set, None, level + 1, meta=True)
        factor = 10 if node.name.value in _INTROSPECTION_LISTS else 1
        shape.introspection = bounded(shape.introspection + 1 + factor * below.introspection)

    def _definition(self, parent: GraphQLCompositeType | None, name: str) -> GraphQLField | None:
        if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return self.schema.get_field(parent, name)
        return None

    def _page(self, node: FieldNode, definition: GraphQLField | None) -> PageSize | None:
        """The size of the page that the field gives, or None when it takes neither `first` nor `last`."""
        if definition is None:
            return None
        taken = {name: argument for name, argument in definition.args.items() if name in {"first", "last"}}
        if not taken:
            return None
        literals: list[int] = []
        variables: list[tuple[str, int]] = []
        for argument in node.arguments or ():
            known = taken.get(argument.name.value)
            if known is None:
                continue
            absent = self._absent(known)
            if isinstance(argument.value, VariableNode):
                variables.append((argument.value.name.value, absent))
            else:
                literals.append(page_size(literal_value(argument.value), absent, self.limits))
        if not literals and not variables:
            literals = [max(self._absent(argument) for argument in taken.values())]
        return PageSize(max(literals, default=1), tuple(variables))

    def _absent(self, argument: GraphQLArgument) -> int:
        default: object = argument.default_value
        if argument.default is not None:
            literal = argument.default.literal
            default = argument.default.value if literal is None else literal_value(literal)
        if isinstance(default, int) and not isinstance(default, bool):
            return max(1, min(default, self.limits.page_maximum))
        return self.limits.page_default
