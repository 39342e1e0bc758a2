"""Documents parsed, limited and validated once; operations executed on graphql-core, without any web in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutionResult,
    Executor,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    Token,
    TokenKind,
    assert_valid_schema,
    create_source_event_stream,
    default_field_resolver,
    default_type_resolver,
    execute_subscription_event,
    get_variable_values,
    map_source_to_response_event,
    parse,
    type_from_ast,
    validate,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues
from graphql.validation.validate import ValidationAbortedError

from app.resolvers.live_channel import LiveStream
from app.web.graphql.bounded import BoundedExecutor, with_bound
from app.web.graphql.compiled import CompiledExecutor, Plan, with_plans
from app.web.graphql.documents import Call, Document, DocumentCache, Operation, plan_switches
from app.web.graphql.errors import DescribeError, request_error
from app.web.graphql.limits import Limits, cost_error, nesting_error, tokens_error, validation_error
from app.web.graphql.measure import measure
from app.web.graphql.rules import RULES
from app.web.graphql.sharing import sharing_key
from app.web.graphql.templates import is_shareable
from app.web.graphql.writer import Writer


@runtime_checkable
class PerEvent(Protocol):
    """A context that makes a fresh one for each event of a subscription, so that no loader serves old values."""

    def for_event(self) -> object: ...


@dataclass(frozen=True, slots=True)
class LiveOperation:
    """A subscription to a channel. Those of equal keys may use the `execute` of one of them; None: nobody else may.

    `execute` makes the answer of an event, each time in a context of its own; it may have to be awaited.
    """

    stream: LiveStream[Any, Any]
    key: Hashable | None
    execute: Callable[[object], Awaitable[ExecutionResult] | ExecutionResult]


class RequestRefused(Exception):
    """The request itself is wrong, so nothing was executed. The errors carry their codes."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = tuple(errors)


class GraphQLEngine:
    """Runs operations on a schema.

    `execution_context_class` is the executor of the schema's library (None: graphql-core's own); `rules` are its
    validation rules beyond the specified ones. `describe_error` decides what clients see of execution errors.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        execution_context_class: type[Executor[Any]] | None,
        limits: Limits,
        introspection: bool,
        suggestions: bool,
        describe_error: DescribeError,
        rules: Sequence[type[ASTValidationRule]] = (),
        cached_documents: int = 1_000,
        cached_bytes: int = 64 * 1024 * 1024,
        compiled: bool = True,
    ) -> None:
        assert_valid_schema(schema)
        self.schema = schema
        self.limits = limits
        self._writer = Writer(schema) if compiled else None
        executor_class = with_bound(execution_context_class or Executor, limits.objects)
        self._executor_class = executor_class
        self._compiled_class = with_plans(executor_class)
        self._executor_arguments: dict[str, Any] = {"operation_extensions": {}} if execution_context_class else {}
        self._introspection = introspection
        self._hide_suggestions = not suggestions
        self._describe_error = describe_error
        self._rules = (*RULES, *rules)
        self._passed = DocumentCache(count=cached_documents, memory_bytes=cached_bytes)
        # Apart, so that a flood of bad documents cannot push out the good ones.
        self._failed = DocumentCache(count=max(1, cached_documents // 10), memory_bytes=cached_bytes // 10)

    def prepare(self, query: str) -> Document:
        """The document of a text: parsed, within the limits and valid, or with errors. Never raises."""
        known = self._passed.get(query) or self._failed.get(query)
        if known is not None:
            return known
        document = self._prepare(query)
        (self._failed if document.errors else self._passed).put(query, document)
        return document

    def _prepare(self, query: str) -> Document:
        try:
            ast = self._parse(query)
        except GraphQLError as error:
            return Document(query, None, (), (request_error(error),))
        measured = measure(self.schema, ast, self.limits, introspection=self._introspection)
        errors = measured.errors or self._validate(ast)
        if errors:
            refusals = tuple(request_error(error, ast) for error in errors[: self.limits.errors])
            return Document(query, None, (), refusals)
        nodes = [node for node in ast.definitions if isinstance(node, OperationDefinitionNode)]
        operations = tuple(
            Operation(node, node.name.value if node.name else None, node.operation, cost)
            for node, cost in zip(nodes, measured.costs, strict=True)
        )
        fragments = {node.name.value: node for node in ast.definitions if isinstance(node, FragmentDefinitionNode)}
        details = {name: FragmentDetails(node) for name, node in fragments.items()}
        switches = plan_switches(ast) if "@" in query else ()
        return Document(query, ast, operations, (), details, fragments, switches)

    def _validate(self, ast: DocumentNode) -> Sequence[GraphQLError]:
        most = self.limits.errors
        errors = validate(self.schema, ast, self._rules, max_errors=most, hide_suggestions=self._hide_suggestions)
        found = [error for error in errors if not isinstance(error, ValidationAbortedError)]
        return [validation_error()] if errors and not found else found

    def _parse(self, query: str) -> DocumentNode:
        most = self.limits.tokens
        try:
            ast = parse(query, max_lexical_tokens=most, max_comments=most)
        except GraphQLSyntaxError as error:
            if f"more than {most} " in error.message:
                raise tokens_error(self.limits) from None
            if "nested too deeply" in error.message:
                raise nesting_error() from None
            raise
        if "\\u" in query:
            _refuse_nul(ast)
        return ast

    def select(self, document: Document, operation_name: str | None) -> Operation:
        """The operation to run. Raises RequestRefused when the document has errors, or no or no single such one."""
        if document.errors:
            raise RequestRefused(document.errors)
        if operation_name is None and len(document.operations) == 1:
            return document.operations[0]
        chosen = [op for op in document.operations if operation_name is None or op.name == operation_name]
        if len(chosen) == 1:
            return chosen[0]
        if operation_name is not None:
            message = f"The document has no operation named '{operation_name}'."
        elif chosen:
            message = "The document has several operations: say which one with `operationName`."
        else:
            message = "The document has no operation."
        raise RequestRefused([GraphQLError(message, extensions={"code": "BAD_INPUT"})])

    def accept(self, query: str, operation_name: str | None, variables: Mapping[str, object]) -> Call:
        """The call that a request asks for. Raises RequestRefused."""
        document = self.prepare(query)
        operation = self.select(document, operation_name)
        return Call(document, operation, variables)

    def recall(self, request: bytes) -> Call | None:
        """What `accept` made of the very same request before, as far as that is remembered."""
        return self._passed.recall(request)

    def remember(self, request: bytes, call: Call) -> None:
        """`request`: all that the call was made of, as it was sent."""
        self._passed.remember(request, call)

    async def execute(self, call: Call, context: object) -> ExecutionResult:
        """Run a query or a mutation. Raises RequestRefused for variables that do not fit or that make it too costly."""
        executor = self._build(call, context)
        result: Any = executor.execute_operation()
        if executor.is_awaitable(result):
            result = await result
        found: ExecutionResult = result
        return found

    async def subscribe(self, call: Call, context: object) -> ExecutionResult | AsyncGenerator[ExecutionResult, None]:
        """Start a subscription: its stream of results, which the caller closes, or one result that has the errors."""
        executor = self._build(call, context)
        source = await _source(executor)
        if isinstance(source, ExecutionResult):
            return source
        return map_source_to_response_event(executor, source, _execute_event)

    async def listen(
        self, call: Call, context: object
    ) -> ExecutionResult | AsyncGenerator[ExecutionResult, None] | LiveOperation:
        """As `subscribe`; but of a stream that many may share, what they need for that. Nobody has joined it yet."""
        executor = self._build(call, context)
        source = await _source(executor)
        if isinstance(source, ExecutionResult):
            return source
        if isinstance(source, LiveStream):
            return LiveOperation(source, sharing_key(executor, call, source), partial(_execute_one, executor))
        return map_source_to_response_event(executor, source, _execute_event)

    def _build(self, call: Call, context: object) -> Executor[Any]:
        values = call.values
        if values is None:
            values = self._values(call)
            if call.is_remembered and self._are_shareable(call, values):
                call.values = values
        plan = self._plan(call, values.coerced)
        # As `Executor.build` does, without looking again for what is known of the document.
        executor = (self._executor_class if plan is None else self._compiled_class)(
            self.schema,
            call.document.fragment_definitions,
            call.document.fragments,
            None,
            context,
            call.operation.node,
            values,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            hide_suggestions=self._hide_suggestions,
            **self._executor_arguments,
        )
        if plan is not None and isinstance(executor, CompiledExecutor):
            executor.plan = plan
            executor.call = call
        return executor

    def _values(self, call: Call) -> VariableValues:
        """The variables as the operation takes them. Raises RequestRefused, also for what they make too costly."""
        operation = call.operation
        try:
            too_costly = cost_error(operation.node, operation.cost, call.variables, self.limits)
        except RecursionError:
            too_costly = nesting_error()
        if too_costly is not None:
            raise RequestRefused([too_costly])
        values = get_variable_values(
            self.schema,
            operation.node.variable_definitions or (),
            dict(call.variables),
            max_errors=self.limits.errors,
            hide_suggestions=self._hide_suggestions,
        )
        if isinstance(values, list):
            raise RequestRefused([request_error(error) for error in values[: self.limits.errors]])
        return values

    def _are_shareable(self, call: Call, values: VariableValues) -> bool:
        for definition in call.operation.node.variable_definitions or ():
            type_: Any = type_from_ast(self.schema, definition.type)
            if not is_shareable(type_, values.coerced.get(definition.variable.name.value)):
                return False
        return True

    def _plan(self, call: Call, variables: Mapping[str, object]) -> Plan | None:
        writer, document = self._writer, call.document
        if writer is None:
            return None

        def make() -> Plan:
            return Plan(self.schema, writer, partial(self._passed.grow, document))

        return document.plan(call.operation, variables, make)

    def describe(self, errors: Sequence[GraphQLError], request_id: str) -> list[dict[str, object]]:
        """Errors as clients get them. Beyond the limit of one answer they are described too, for the log's sake."""
        described = [self._formatted(error, request_id) for error in errors[:50]]
        return described[: self.limits.errors]

    def describe_exception(self, error: Exception, request_id: str) -> dict[str, object]:
        """What was raised outside of any field, as clients get it."""
        if isinstance(error, GraphQLError):
            return self._formatted(error, request_id)
        return self._formatted(GraphQLError(str(error), original_error=error), request_id)

    def result(self, result: ExecutionResult, request_id: str) -> dict[str, object]:
        """The answer to an operation that was executed."""
        answer: dict[str, object] = {"data": result.data}
        if result.errors:
            answer["errors"] = self.describe(result.errors, request_id)
        return answer

    def _formatted(self, error: GraphQLError, request_id: str) -> dict[str, object]:
        description = self._describe_error(error, request_id)
        formatted: dict[str, object] = {"message": description.message}
        if error.locations:
            formatted["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
        if error.path:
            formatted["path"] = error.path
        formatted["extensions"] = description.extensions
        return formatted


async def _source(executor: Executor[Any]) -> AsyncIterable[Any] | ExecutionResult:
    source = create_source_event_stream(executor)
    return await source if isinstance(source, Awaitable) else source


def _execute_one(executor: Executor[Any], event: object) -> Awaitable[ExecutionResult] | ExecutionResult:
    return _execute_event(executor.build_per_event_executor(event))


def _execute_event(executor: Executor[Any]) -> Awaitable[ExecutionResult] | ExecutionResult:
    if not isinstance(executor, CompiledExecutor):
        # It remembers fields by the identity of what each event collects anew: of a long stream, more and more.
        executor._relevant_sub_fields = {}
    if isinstance(executor.context_value, PerEvent):
        executor.context_value = executor.context_value.for_event()
    if isinstance(executor, BoundedExecutor):
        executor.objects = 0
    return execute_subscription_event(executor)


def formatted_request_errors(errors: Sequence[GraphQLError]) -> list[dict[str, object]]:
    """Errors of the request itself: they were written for the client."""
    return [dict(error.formatted) for error in errors]


def _refuse_nul(ast: DocumentNode) -> None:
    """An escape in a literal can make the NUL that the text itself may not have; PostgreSQL takes none."""
    token: Token | None = ast.loc.start_token if ast.loc else None
    while token is not None:
        if token.kind is TokenKind.STRING and "\0" in (token.value or ""):
            raise GraphQLError(
                "A text in the document contains the character NUL.",
                source=ast.loc.source if ast.loc else None,
                positions=[token.start],
                extensions={"code": "BAD_INPUT"},
            )
        token = token.next
