"""An executor that reads whole parts of an answer at once, and leaves every other part to graphql-core.

It stands between graphql-core's steps: where a list, an object or the fields of an object are to be completed, it asks
the operation's plan for a function that does it (`writer`). If there is none, or if it meets anything unusual, the
step is graphql-core's own, from its beginning. See docs/adr/0008.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from graphql import (
    Executor,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_argument_values,
    is_leaf_type,
)
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList, GroupedFieldSet
from graphql.pyutils import Path

from app.web.graphql.readings import Resolver, resolver_of
from app.web.graphql.shapes import NoRoom, Shaper
from app.web.graphql.templates import template
from app.web.graphql.writer import Read, Writer

MOST_FIELDS = 1_500
"""Of what is compiled for one plan, repeated ones included."""
MOST_LOOKED_AT = 6_000
"""The same, with those that were looked at in vain: it bounds the time that a large operation may take."""
BYTES_PER_FIELD = 1_500
BYTES_PER_FUNCTION = 6_000
"""Memory of what is compiled, as measured; the struct of its answer included."""
BYTES_PER_COLLECTED_FIELD = 400
BYTES_PER_COLLECTION = 700
"""Memory of the fields below a field, and of the notes on them, as measured."""

Made = TypeVar("Made")


class Plan:
    """What is known of one operation under one outcome of its `@skip` and `@include`.

    It keeps the fields as graphql-core collected them, for their identity is the key of everything below them. `grow`
    is told of each piece of memory that it takes, in bytes.
    """

    def __init__(self, schema: GraphQLSchema, writer: Writer, grow: Callable[[int], None]) -> None:
        self._schema = schema
        self._writer = writer
        self._grow = grow
        self._room = MOST_FIELDS
        self._looks = MOST_LOOKED_AT
        self._reads: dict[tuple[GraphQLOutputType, int], Read | None] = {}
        self._partial: dict[int, tuple[GroupedFieldSet, Partial | None]] = {}
        self._collected: dict[tuple[GraphQLObjectType, int], CollectedFields] = {}
        self._straight: Straight | Literal[False] | None = None
        self.root: GroupedFieldSet | None = None
        self.root_type = GraphQLObjectType("Unknown", {})

    def straight(self, operation: OperationDefinitionNode) -> Straight | None:
        """The root field, if there is but one and nothing stands between it and its function."""
        if self._straight is None:
            self._straight = self._find_straight(operation) or False
        return self._straight or None

    def _find_straight(self, operation: OperationDefinitionNode) -> Straight | None:
        if operation.operation is not OperationType.QUERY or self.root is None or len(self.root) != 1:
            return None
        [(name, details)] = self.root.items()
        field = self._schema.get_field(self.root_type, details[0].node.name.value)
        resolver = None if field is None else resolver_of(field)
        if field is None or resolver is None or details[0].fragment_variable_values:
            return None
        positional = [None] if resolver.is_method else []
        return Straight(name, field, details, [one.node for one in details], resolver, positional)

    def collected(self, type_: GraphQLObjectType, details: FieldDetailsList) -> CollectedFields | None:
        """The fields of an object of that type below that field, if they were collected before."""
        return self._collected.get((type_, id(details)))

    def keep(self, type_: GraphQLObjectType, details: FieldDetailsList, fields: CollectedFields) -> None:
        """Keep what was collected below a field that is kept itself."""
        self._collected[type_, id(details)] = fields
        self._grow(BYTES_PER_COLLECTION + BYTES_PER_COLLECTED_FIELD * len(fields.grouped_field_set))

    def read(self, executor: CompiledExecutor, type_: GraphQLOutputType, details: FieldDetailsList) -> Read | None:
        """The function for a value of that type (which is there) below that field."""
        key = (type_, id(details))
        if key not in self._reads:
            self._reads[key] = self._compile(executor, type_, details)
        return self._reads[key]

    def partial(self, executor: CompiledExecutor, parent: GraphQLObjectType, fields: GroupedFieldSet) -> Partial | None:
        """What of an object can be read at once."""
        known = self._partial.get(id(fields))
        if known is None:
            known = self._partial[id(fields)] = fields, self._compile_parts(executor, parent, fields)
        return known[1]

    def _compile(self, executor: CompiledExecutor, type_: GraphQLOutputType, details: FieldDetailsList) -> Read | None:
        if is_leaf_type(type_):
            return None

        def make(shaper: Shaper) -> Read | None:
            shape = shaper.value(type_, details)
            return None if shape is None else self._writer.read(shape)

        return self._make(executor, make)

    def _compile_parts(
        self, executor: CompiledExecutor, parent: GraphQLObjectType, fields: GroupedFieldSet
    ) -> Partial | None:
        def make(shaper: Shaper) -> Partial | None:
            found = [shaper.part(parent, name, details) for name, details in fields.items()]
            parts = tuple([part for part in found if part is not None])
            if not parts:
                return None
            read_at_once = {part.name for part in parts}
            others = {name: details for name, details in fields.items() if name not in read_at_once}
            return Partial(self._writer.read_parts(parts), others, tuple(fields))

        return self._make(executor, make)

    def _make(self, executor: CompiledExecutor, make: Callable[[Shaper], Made | None]) -> Made | None:
        """What is made by way of a shape, if there is room for it."""

        def collect(type_: GraphQLObjectType, details: FieldDetailsList) -> GroupedFieldSet:
            return executor.collect_subfields(type_, details).grouped_field_set

        room = min(self._room, self._looks)
        shaper = Shaper(self._schema, collect, room)
        try:
            made = make(shaper)
        except (NoRoom, RecursionError):
            made = None
        looked_at = room - shaper.room
        self._looks -= looked_at
        if made is not None:
            self._room -= looked_at
            self._grow(BYTES_PER_FUNCTION + BYTES_PER_FIELD * looked_at)
        return made


class Remembers(Protocol):
    """What is kept with a request that comes again and again. See `Call`."""

    is_remembered: bool
    arguments: Callable[[], dict[str, Any]] | Literal[False] | None


@dataclass(frozen=True, slots=True)
class Straight:
    """The only root field of a query, when a function of the library resolves it."""

    name: str
    field: GraphQLField
    details: FieldDetailsList
    nodes: list[FieldNode]
    resolver: Resolver
    positional: list[None]
    """The root value for a method, which is none."""


class Partial:
    """An object of which some fields are read at once, and `others` are graphql-core's."""

    def __init__(self, read: Read, others: GroupedFieldSet, names: tuple[str, ...]) -> None:
        self.read = read
        self.others = others
        self._names = names

    def join(self, known: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
        """Both in the order in which they were asked for."""
        return {name: known[name] if name in known else others[name] for name in self._names}

    async def join_later(self, known: dict[str, Any], others: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        return self.join(known, await others)


class CompiledExecutor(Executor[Any]):
    """The steps of graphql-core where a plan may have a shorter way. Mixed into the executor of another library.

    Whoever makes one sets its plan and its call before anything else.
    """

    plan: Plan
    call: Remembers
    _by_the_book = False
    """Below something unusual nothing is tried again: each part of an answer is attempted once."""

    def collect_subfields(
        self, return_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> CollectedFields:
        found = self.plan.collected(return_type, field_details_list)
        if found is None:
            found = super().collect_subfields(return_type, field_details_list)
            self.plan.keep(return_type, field_details_list, found)
        return found

    def execute_operation(self, serially: bool | None = None) -> Any:
        """As graphql-core does, but for collecting the fields, which the plan has done."""
        plan = self.plan
        if plan.root is None:
            return super().execute_operation(serially)
        straight = plan.straight(self.operation)
        if straight is not None and self.abort_signal is None and self.middleware_manager is None:
            return self._go_straight(straight)
        try:
            if serially is None:
                serially = self.operation.operation is OperationType.MUTATION
            data: Any = super().execute_collected_root_fields(plan.root_type, self.root_value, plan.root, serially, ())
        except GraphQLError as error:
            self.collected_errors.add(error, None)
            return self.build_response(None)
        return self._respond_later(data) if self.is_awaitable(data) else self.build_response(data)

    async def _go_straight(self, straight: Straight) -> Any:
        """As graphql-core and the library do together for a single field that an async function resolves."""
        path = Path(None, straight.name, self.plan.root_type.name)
        info = self.build_resolve_info(straight.field, straight.nodes, self.plan.root_type, path)
        try:
            try:
                value = await self._call_resolver(straight, info)
                data = self.complete_value(straight.field.type, straight.details, info, path, value, None)
                if self.is_awaitable(data):
                    data = await data
            except Exception as error:
                self.handle_field_error(error, straight.field.type, straight.details, path)
                data = None
        except GraphQLError as error:
            self.collected_errors.add(error, None)
            return self.build_response(None)
        return self.build_response({straight.name: data})

    def _call_resolver(self, straight: Straight, info: GraphQLResolveInfo[Any]) -> Awaitable[Any]:
        resolver, call = straight.resolver, self.call
        library_info, positional = resolver.info(info), straight.positional
        if call.arguments:
            named = call.arguments()
        else:
            values = get_argument_values(
                straight.field, straight.nodes[0], self.variable_values, None, self.hide_suggestions
            )
            positional, named = resolver.arguments(None, library_info, values)
            if resolver.info_name is not None:
                del named[resolver.info_name]
            if call.is_remembered and call.arguments is None:
                fresh = template(named)
                call.arguments = fresh or False
                named = named if fresh is None else fresh()
        if resolver.info_name is not None:
            named[resolver.info_name] = library_info
        return resolver.function(*positional, **named)

    async def _respond_later(self, data: Awaitable[dict[str, Any]]) -> Any:
        try:
            return self.build_response(await data)
        except GraphQLError as error:
            self.collected_errors.add(error, None)
            return self.build_response(None)

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,
        grouped_field_set: GroupedFieldSet,
        serially: bool,
        new_defer_usages: Sequence[Any],
    ) -> Any:
        self.plan.root_type, self.plan.root = root_type, grouped_field_set
        return super().execute_collected_root_fields(
            root_type, root_value, grouped_field_set, serially, new_defer_usages
        )

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> Any:
        if self._by_the_book or source_value is None:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        partial = self.plan.partial(self, parent_type, grouped_field_set)
        if partial is None:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        known = _attempt(partial.read, source_value)
        if known is None:
            steps = super().execute_fields
            return self._go_by_the_book(steps, parent_type, source_value, path, grouped_field_set, position_context)
        others: Any = super().execute_fields(parent_type, source_value, path, partial.others, position_context)
        if self.is_awaitable(others):
            return partial.join_later(known, others)
        return partial.join(known, others)

    def complete_value(self, *arguments: Any, **named: Any) -> Any:
        if self._by_the_book or named:
            return super().complete_value(*arguments, **named)
        return self._complete(super().complete_value, arguments)

    def complete_object_value(self, *arguments: Any, **named: Any) -> Any:
        """Here too, for objects that came as one of several types."""
        if self._by_the_book or named:
            return super().complete_object_value(*arguments, **named)
        return self._complete(super().complete_object_value, arguments)

    def _complete(self, steps: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        type_, details, _info, _path, value, _position = arguments
        if value is None:
            return steps(*arguments)
        read = self.plan.read(self, type_.of_type if type_.__class__ is GraphQLNonNull else type_, details)
        if read is None:
            return steps(*arguments)
        answer = _attempt(read, value)
        return answer if answer is not None else self._go_by_the_book(steps, *arguments)

    def _go_by_the_book(self, steps: Callable[..., Any], *arguments: Any) -> Any:
        self._by_the_book = True
        try:
            return steps(*arguments)
        finally:
            self._by_the_book = False


def _attempt(read: Read, value: object) -> Any:
    """The answer, or None where the value is not as usual. What went wrong is for graphql-core to find and to say."""
    try:
        return read(value)
    except Exception:  # a resolver may raise anything
        return None


def with_plans(executor_class: type[Executor[Any]]) -> type[CompiledExecutor]:
    """The executor of the schema's library, with these steps in it."""
    return type(f"Compiled{executor_class.__name__}", (CompiledExecutor, executor_class), {})
