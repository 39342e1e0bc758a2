"""One place that decides what a client is told about an error. What it does not know is masked, and logged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from asyncpg.exceptions import InternalClientError
from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLError,
    Node,
    ValueNode,
    VariableDefinitionNode,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.outages import describe
from app.domain.errors import (
    DomainError,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Violation,
)
from app.ports import QueueUnavailable, StreamUnavailable
from app.web.graphql.rules import WrongValue

log = structlog.get_logger(__name__)

CODES = frozenset(
    {
        "BAD_INPUT",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "NOT_FOUND",
        "RATE_LIMITED",
        "TOO_COMPLEX",
        "UNAVAILABLE",
        "INTERNAL",
    }
)
MASKED_MESSAGE = "Something went wrong on our side. Quote the request id to support."
MAX_TEXT = 200
"""Longest reason given back: it may quote what the client sent."""

_OUTAGE_SQLSTATES = ("08", "53", "57P", "57014", "25P03", "25P04", "25006", "40001", "40P01", "55P03")
"""Connection lost, out of resources, shutting down, timed out, switched to read-only, deadlock or lock wait."""
_VARIABLE = re.compile(
    r"Variable '\$(?P<name>\w+)' has invalid (?:default )?value(?: at (?P<path>(?:\.\w+|\[\d+\])+))?: (?P<reason>.*)",
    re.S,
)
_REQUIRED_FIELD = re.compile(r"Expected value of type '[^']*' to include required field '(?P<field>\w+)'")
_UNKNOWN_FIELD = re.compile(
    r"Expected value of type '(?P<type>[^']*)' not to include unknown field '(?P<field>[^']{1,100})'"
    r"(?:\.(?P<suggestion> Did you mean [^?]*\?))?"
)
_NOT_GIVEN = re.compile(r"Expected a value of non-null type|.*to provide a runtime value\.$")
_IS_NULL = re.compile(r"Expected (?:value of|variable .* provided to) non-null type '[^']*' not to be None")
_QUOTED_INPUT = re.compile(r"[,;] found(?: value)?: .*", re.S)


@dataclass(frozen=True, slots=True)
class ErrorDescription:
    """What the client sees of an error. `extensions` has at least `code`."""

    message: str
    extensions: dict[str, object] = field(default_factory=dict)


class DescribeError(Protocol):
    """Turns an error met while executing into what the client may know of it."""

    def __call__(self, error: GraphQLError, request_id: str) -> ErrorDescription: ...


def describe_error(error: GraphQLError, request_id: str) -> ErrorDescription:
    """The default: domain errors and refusals of the request as they are, outages as UNAVAILABLE, the rest masked."""
    cause = root_cause(error)
    if cause is None:
        if error.extensions and error.extensions.get("code") in CODES:
            return ErrorDescription(error.message, dict(error.extensions))
        if error.message.startswith("Argument '"):  # a variable without a value where one is needed
            return ErrorDescription(_shorten(error.message), {"code": "BAD_INPUT"})
        return _masked(error, request_id)
    if isinstance(cause, DomainError):
        return describe_domain_error(cause)
    if is_outage(cause):
        log.warning("graphql.unavailable", request_id=request_id, path=error.path, error=describe(cause))
        return describe_domain_error(Unavailable())
    return _masked(cause, request_id, error.path)


def describe_domain_error(error: DomainError) -> ErrorDescription:
    """Domain errors outside a mutation's union. Those that have no code of their own name their kind as `reason`."""
    extensions: dict[str, object]
    match error:
        case InvalidInput():
            violations = [{"path": v.path, "message": v.message} for v in error.violations]
            extensions = {"code": "BAD_INPUT", "violations": violations}
        case NotFound():
            extensions = {"code": "NOT_FOUND"}
        case Unauthenticated():
            extensions = {"code": "UNAUTHENTICATED"}
        case NotAllowed():
            extensions = {"code": "FORBIDDEN", "rule": error.rule}
        case RateLimited():
            extensions = {"code": "RATE_LIMITED", "retryAfterSeconds": error.retry_after_seconds}
        case Unavailable():
            extensions = {"code": "UNAVAILABLE"}
        case _:
            reason = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()
            extensions = {"code": "BAD_INPUT", "reason": reason}
    return ErrorDescription(error.message, extensions)


def _masked(cause: Exception, request_id: str, path: Sequence[str | int] | None = None) -> ErrorDescription:
    log.error("graphql.failed", request_id=request_id, path=path, error=describe(cause)[:500], exc_info=cause)
    return ErrorDescription(MASKED_MESSAGE, {"code": "INTERNAL", "requestId": request_id})


def root_cause(error: Exception) -> Exception | None:
    """What a resolver raised, under the layers that graphql-core puts around it; None when it raised nothing else."""
    current: Exception | None = error
    while isinstance(current, GraphQLError):
        current = current.original_error
    return current


def is_outage(error: BaseException) -> bool:
    """Something that we need is away or too busy, so that the same request may succeed later."""
    seen = 0
    current: BaseException | None = error
    while current is not None and seen < 5:
        if isinstance(current, OSError | PoolTimeoutError | InterfaceError | OperationalError):
            return True
        if isinstance(current, Unavailable | StreamUnavailable | QueueUnavailable):
            return True
        if isinstance(current, InternalClientError):  # the driver's own muddle when the server dies under it
            return True
        if isinstance(current, DBAPIError) and current.connection_invalidated:
            return True
        state = getattr(current, "sqlstate", None)
        if isinstance(state, str) and state.startswith(_OUTAGE_SQLSTATES):
            return True
        current = getattr(current, "orig", None) or current.__cause__
        seen += 1
    return False


def request_error(error: GraphQLError, document: DocumentNode | None = None) -> GraphQLError:
    """An error of parsing, validation or of the variables → the same with a code, and with violations where a value
    is wrong. It keeps no traceback, so that it can be remembered with its document."""
    if error.extensions and error.extensions.get("code") in CODES:
        return _detached(error, error.message, dict(error.extensions))
    violation = _variable_violation(error) or (_literal_violation(error, document) if document else None)
    if violation is None:
        return _detached(error, _shorten(error.message), {"code": "BAD_INPUT"})
    extensions: dict[str, object] = {
        "code": "BAD_INPUT",
        "violations": [{"path": violation.path, "message": violation.message}],
    }
    return _detached(error, f"{violation.path}: {violation.message}", extensions)


def _detached(error: GraphQLError, message: str, extensions: dict[str, object]) -> GraphQLError:
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, None, extensions)


def _variable_violation(error: GraphQLError) -> Violation | None:
    """`Variable '$input' has invalid value at .items[0].startsAt: …` → `input.items.0.startsAt` and the reason."""
    found = _VARIABLE.match(error.message)
    if found is not None:
        path = [found["name"], *re.findall(r"\w+", found["path"] or "")]
        return _violation(path, found["reason"], root_cause(error))
    nodes = error.nodes or []
    if len(nodes) == 1 and isinstance(nodes[0], VariableDefinitionNode):
        return Violation(nodes[0].variable.name.value, _shorten(error.message))
    return None


def _literal_violation(error: GraphQLError, document: DocumentNode) -> Violation | None:
    """A wrong value written in the document itself: its path begins at the argument."""
    if not isinstance(error, WrongValue):
        return None
    name = next((name for value, name in _argument_values(document) if value is error.argument_value), None)
    if name is None:
        return None
    return _violation([name, *map(str, error.value_path)], error.message, root_cause(error))


def _argument_values(document: DocumentNode) -> Iterator[tuple[ValueNode, str]]:
    """Each whole value given to an argument, or to a variable by default, with the name of that."""
    stack: list[object] = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, ArgumentNode):
            yield node.value, node.name.value
        elif isinstance(node, VariableDefinitionNode) and node.default_value is not None:
            yield node.default_value, node.variable.name.value
        if isinstance(node, Node):
            stack.extend(getattr(node, key, None) for key in node.keys)
        elif isinstance(node, list | tuple):
            stack.extend(node)


def _violation(path: list[str], reason: str, cause: Exception | None) -> Violation:
    if found := _REQUIRED_FIELD.match(reason):
        return Violation(".".join([*path, found["field"]]), "is required")
    if found := _UNKNOWN_FIELD.match(reason):
        text = f"is not a field of {found['type']}.{found['suggestion'] or ''}"
        return Violation(".".join([*path, found["field"]]), text.removesuffix("."))
    if _IS_NULL.match(reason):
        return Violation(".".join(path), "must not be null")
    if _NOT_GIVEN.match(reason):
        return Violation(".".join(path), "is required")
    text = str(cause) if isinstance(cause, ValueError | DomainError) and str(cause) else _QUOTED_INPUT.sub("", reason)
    return Violation(".".join(path), _shorten(text))


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
