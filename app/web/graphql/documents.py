"""Documents that passed or not, and the memory for those used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from graphql import (
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    Node,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues

from app.web.graphql.compiled import Plan
from app.web.graphql.limits import Cost

_BYTES_PER_CHARACTER = 255
"""Memory of a parsed document for each character of its text, as measured; long texts are mostly single tokens."""
_DENSE_CHARACTERS = 4_000
_LONGEST_REQUEST = 4_000
"""Bytes of one that is remembered."""
_SHARE_OF_STRANGERS = 4
"""A quarter of the room is theirs, however many proven documents there are. No single document takes more."""
_MOST_PLANS = 8
"""Of one document: its operations, under the outcomes of their `@skip` and `@include`."""


@dataclass(frozen=True, slots=True)
class Operation:
    node: OperationDefinitionNode
    name: str | None
    kind: OperationType
    cost: Cost


@dataclass(frozen=True, slots=True)
class Document:
    """A document that passed, with its operations; or the errors that say why it did not."""

    text: str
    ast: DocumentNode | None
    operations: tuple[Operation, ...]
    errors: tuple[GraphQLError, ...] = ()
    fragments: dict[str, FragmentDetails] = field(default_factory=dict)
    fragment_definitions: dict[str, FragmentDefinitionNode] = field(default_factory=dict)
    switches: tuple[str, ...] | None = None
    """The variables that decide on `@skip` and `@include`. None: it has other directives, so it has no plans."""
    plans: dict[tuple[str | None, tuple[object, ...]], Plan | None] = field(default_factory=dict, compare=False)
    """By operation and the values of the switches; None for one that was used once."""
    requests: set[bytes] = field(default_factory=set, compare=False)
    """Those that are remembered."""
    openings: dict[str | None, frozenset[str]] = field(default_factory=dict, compare=False)
    """Of its subscriptions: the variables that choose no more than how they begin. See `sharing`."""
    plain: dict[tuple[str | None, tuple[object, ...]], bool] = field(default_factory=dict, compare=False)
    """Of those, under the values of the switches: is all of it attributes? See `sharing`."""

    def plan(self, operation: Operation, variables: Mapping[str, object], make: Callable[[], Plan]) -> Plan | None:
        """The plan for an operation with these (coerced) variables, from its second use on.

        A subscription is used again and again, so it has one at once.
        """
        if self.switches is None:
            return None
        values = tuple([variables.get(name) for name in self.switches]) if self.switches else ()
        if not all(isinstance(value, bool) for value in values):  # null, or another operation's variable of that name
            return None
        key = (operation.name, values)
        plan = self.plans.get(key)
        if plan is not None:
            return plan
        has_room = key in self.plans or len(self.plans) < _MOST_PLANS
        if key in self.plans or (has_room and operation.kind is OperationType.SUBSCRIPTION):
            plan = self.plans[key] = make()
        elif has_room:
            self.plans[key] = None
        return plan


@dataclass(slots=True)
class Call:
    """An operation that passed, and the variables it was sent with.

    One that `is_remembered` is executed again for each request that is the same, so what is worked out of its variables
    is kept with it: `values`, once they have passed, and `arguments`, what its only root field is called with (False:
    they are to be made anew each time).
    """

    document: Document
    operation: Operation
    variables: Mapping[str, object]
    is_remembered: bool = False
    values: VariableValues | None = None
    arguments: Callable[[], dict[str, Any]] | Literal[False] | None = None

    @property
    def kind(self) -> OperationType:
        return self.operation.kind


def plan_switches(ast: DocumentNode) -> tuple[str, ...] | None:
    """See `Document.switches`."""
    names: set[str] = set()
    stack: list[object] = [ast]
    while stack:
        node = stack.pop()
        if isinstance(node, DirectiveNode):
            if node.name.value not in ("skip", "include"):
                return None
            names.update(a.value.name.value for a in node.arguments or () if isinstance(a.value, VariableNode))
        elif isinstance(node, Node):
            stack.extend(getattr(node, key, None) for key in node.keys)
        elif isinstance(node, list | tuple):
            stack.extend(node)
    return tuple(sorted(names))


class DocumentCache:
    """The documents used last, bounded by count and by an estimate of their memory, what they compiled included.

    One that came once is a stranger, and proven from its second use on. Strangers fill what room there is, but drive
    out each other, not the proven ones: a stream of documents that never come again costs the others nothing.

    And the requests for them that came last, word for word: bounded by themselves, so that they drive out no document.
    """

    def __init__(self, *, count: int, memory_bytes: int) -> None:
        self._count = count
        self._memory_bytes = memory_bytes
        self._held_bytes = 0
        self._proven: OrderedDict[str, Document] = OrderedDict()
        self._strangers: OrderedDict[str, Document] = OrderedDict()
        self._strangers_bytes = 0
        self._compiled_bytes: dict[str, int] = {}
        self._calls: OrderedDict[bytes, Call] = OrderedDict()
        self._calls_bytes = 0

    def __len__(self) -> int:
        return len(self._proven) + len(self._strangers)

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def texts(self) -> tuple[str, ...]:
        """Of all documents held."""
        return (*self._proven, *self._strangers)

    def get(self, query: str) -> Document | None:
        document = self._proven.get(query)
        if document is not None:
            self._proven.move_to_end(query)
            return document
        document = self._strangers.pop(query, None)
        if document is not None:
            self._strangers_bytes -= self._weight_held(query)
            self._proven[query] = document
        return document

    def put(self, query: str, document: Document) -> None:
        weight = self.weight(query)
        if weight > self._memory_bytes // _SHARE_OF_STRANGERS or self._held(query) is not None:
            return
        self._strangers[query] = document
        self._strangers_bytes += weight
        self._held_bytes += weight
        self._shrink()

    def grow(self, document: Document, compiled_bytes: int) -> None:
        """Note that a document's plans take more memory than before. One that is not held any more may do so."""
        if self._held(document.text) is document:
            self._compiled_bytes[document.text] = self._compiled_bytes.get(document.text, 0) + compiled_bytes
            self._held_bytes += compiled_bytes
            self._strangers_bytes += compiled_bytes if document.text in self._strangers else 0
            self._shrink()

    def recall(self, request: bytes) -> Call | None:
        """The call that the very same request made before."""
        call = self._calls.get(request)
        if call is not None:
            self._calls.move_to_end(request)
            self.get(call.document.text)
        return call

    def remember(self, request: bytes, call: Call) -> None:
        """Only queries, for they hold no secrets, and small ones, whose values take little memory."""
        document = call.document
        if len(request) > _LONGEST_REQUEST or call.kind is not OperationType.QUERY or request in self._calls:
            return
        if self._held(document.text) is not document:
            return
        call.is_remembered = True
        self._calls[request] = call
        document.requests.add(request)
        self._calls_bytes += _weight_of_request(request)
        while len(self._calls) > self._count or self._calls_bytes > self._memory_bytes // 8:
            self._forget(next(iter(self._calls)))

    def _held(self, query: str) -> Document | None:
        """As `get`, but this is no use of it."""
        return self._proven.get(query) or self._strangers.get(query)

    def _forget(self, request: bytes) -> None:
        self._calls.pop(request).document.requests.discard(request)
        self._calls_bytes -= _weight_of_request(request)

    def _shrink(self) -> None:
        while len(self) > self._count or self._held_bytes > self._memory_bytes:
            has_many = (
                len(self._strangers) > max(1, self._count // _SHARE_OF_STRANGERS)
                or self._strangers_bytes > self._memory_bytes // _SHARE_OF_STRANGERS
            )
            is_strange = has_many or not self._proven
            oldest, document = (self._strangers if is_strange else self._proven).popitem(last=False)
            weight = self._weight_held(oldest)
            self._held_bytes -= weight
            self._strangers_bytes -= weight if is_strange else 0
            self._compiled_bytes.pop(oldest, None)
            for request in tuple(document.requests):
                self._forget(request)

    def _weight_held(self, query: str) -> int:
        return self.weight(query) + self._compiled_bytes.get(query, 0)

    @staticmethod
    def weight(query: str) -> int:
        """Estimated bytes of the document of this text."""
        return 4 * len(query) + _BYTES_PER_CHARACTER * min(len(query), _DENSE_CHARACTERS)


def _weight_of_request(request: bytes) -> int:
    """Estimated bytes of it and what is made of it, as measured of the densest: lists of small objects."""
    return 2_000 + 60 * len(request)
