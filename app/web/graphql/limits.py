"""How much one document may ask for.

Cost: each field of an object costs 1, a leaf 0. What is below a list counts 5 times; below a field that takes `first`
or `last`, as often as the page has items. Page sizes given by variables are only known per request, so a cost is kept
as a small formula (`Cost`) that is evaluated again for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphql import (
    GraphQLError,
    IntValueNode,
    NullValueNode,
    OperationDefinitionNode,
    ValueNode,
)

_MOST = 1_000_000_000
"""No sum grows beyond this, so that hostile nesting cannot make integers of many digits."""
MAX_NESTING = 150
"""Selection sets inside each other, fragments included. Beyond it the answer is no, whatever the limits say."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Most that a document may have. `tokens` is kept by the parser."""

    depth: int = 10
    aliases: int = 15
    directives: int = 50
    tokens: int = 1_000
    cost: int = 1_000
    page_default: int = 20
    page_maximum: int = 100
    list_factor: int = 5
    overlaps: int = 30_000
    """Sum of squares of how often each response name occurs: what the rule on overlapping fields may compare."""
    introspection_cost: int = 50_000
    """Cost of `__schema` and `__type`, whose depth and cost are otherwise free; each list in it counts 10 times."""
    errors: int = 5
    """Errors in one answer."""
    objects: int = 10_000
    """Objects in the lists of one answer, counted as they come; in all it may have twice as many (`bounded`)."""


def bounded(count: int) -> int:
    return min(_MOST, count)


@dataclass(frozen=True, slots=True)
class PageSize:
    """The number of items of a page: the largest of a literal and of variables, each with what its absence means."""

    literal: int
    variables: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True, eq=False)
class Cost:
    """`constant` plus factor times cost of each part. Parts are shared, so evaluation remembers them."""

    constant: int = 0
    parts: list[tuple[PageSize, Cost]] = field(default_factory=list)

    def add(self, size: PageSize | int, part: Cost) -> None:
        page = PageSize(size) if isinstance(size, int) else size
        if page.variables or part.parts:
            self.parts.append((page, part))
        else:
            self.constant = bounded(self.constant + page.literal * part.constant)

    def evaluate(self, size_of: Callable[[str, int], int]) -> int:
        """`size_of(variable, when absent)` gives page sizes. Linear in the number of parts."""
        return self._evaluate(size_of, {})

    def _evaluate(self, size_of: Callable[[str, int], int], known: dict[int, int]) -> int:
        total = self.constant
        for page, part in self.parts:
            value = known.get(id(part))
            if value is None:
                value = known[id(part)] = part._evaluate(size_of, known)
            factor = max([page.literal, *(size_of(name, absent) for name, absent in page.variables)])
            total = bounded(total + factor * value)
        return total


def cost_error(
    operation: OperationDefinitionNode, cost: Cost, variables: Mapping[str, object], limits: Limits
) -> GraphQLError | None:
    """The refusal of an operation that, with these variables, costs too much."""
    if not cost.parts:
        found = cost.constant
    else:
        defaults = _variable_defaults(operation)

        def size_of(name: str, absent: int) -> int:
            if name in variables:
                return page_size(variables[name], absent, limits)
            return page_size(defaults.get(name), absent, limits)

        found = cost.evaluate(size_of)
    if found <= limits.cost:
        return None
    return too_complex_error(
        "cost", limits.cost, found, f"The operation costs {found}; the limit is {limits.cost}.", operation
    )


def tokens_error(limits: Limits) -> GraphQLError:
    return GraphQLError(
        f"The document has more than {limits.tokens} tokens or comments; the limit is {limits.tokens}.",
        extensions={"code": "TOO_COMPLEX", "limit": "tokens", "maximum": limits.tokens, "found": limits.tokens + 1},
    )


def nesting_error() -> GraphQLError:
    return GraphQLError(
        f"The document nests deeper than {MAX_NESTING} levels.",
        extensions={"code": "TOO_COMPLEX", "limit": "nesting", "maximum": MAX_NESTING},
    )


def validation_error() -> GraphQLError:
    return GraphQLError(
        "The document is too entangled to be validated: spread fewer fragments.",
        extensions={"code": "TOO_COMPLEX", "limit": "validation"},
    )


def too_complex_error(
    limit: str, maximum: int, found: int, message: str, node: OperationDefinitionNode | None = None
) -> GraphQLError:
    extensions = {"code": "TOO_COMPLEX", "limit": limit, "maximum": maximum, "found": found}
    return GraphQLError(message, node, extensions=extensions)


def _variable_defaults(operation: OperationDefinitionNode) -> dict[str, object]:
    return {
        definition.variable.name.value: literal_value(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }


def literal_value(node: ValueNode) -> object:
    """An int, None for null, and something that is neither for the rest."""
    if isinstance(node, NullValueNode):
        return None
    return int(node.value) if isinstance(node, IntValueNode) and len(node.value) < 10 else node


def page_size(value: object, absent: int, limits: Limits) -> int:
    """Sizes out of range are clamped (the resolver refuses them with a path); what is no integer counts as the most."""
    if value is None:
        return absent
    if isinstance(value, int) and not isinstance(value, bool):
        return max(1, min(value, limits.page_maximum))
    return limits.page_maximum
