"""The validation rules that documents are held to."""

from __future__ import annotations

from graphql import GraphQLError, GraphQLInputType, ValueNode, VisitorAction, specified_rules
from graphql.language import SKIP
from graphql.utilities import validate_input_literal
from graphql.validation import ASTValidationRule, MaxIntrospectionDepthRule, ValuesOfCorrectTypeRule


class WrongValue(GraphQLError):
    """A value written in the document that its type refuses. `value_path` leads to it from the whole argument."""

    def __init__(self, error: GraphQLError, node: ValueNode, value_path: list[str | int]) -> None:
        super().__init__(
            error.message, error.nodes or node, original_error=error.original_error, extensions=error.extensions
        )
        self.argument_value = node
        self.value_path = value_path


class ValuesOfCorrectTypeWithPathRule(ValuesOfCorrectTypeRule):
    """The specified rule, which knows where in an argument the wrong value is, but does not tell."""

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        if input_type:

            def report(error: GraphQLError, path: list[str | int]) -> None:
                self.report_error(WrongValue(error, node, path))

            validate_input_literal(node, input_type, report, hide_suggestions=self.context.hide_suggestions)
        return SKIP


RULES: tuple[type[ASTValidationRule], ...] = (
    *(ValuesOfCorrectTypeWithPathRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules),
    MaxIntrospectionDepthRule,
)
