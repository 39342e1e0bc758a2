"""An executor that gives up when an answer grows out of all proportion.

The cost of a document is reckoned before it runs, with a guess for each list that is no page. Real lists may be longer
than the guess, and lists in lists multiply, as does all that hangs on each of their items: here the objects that really
come are counted.
"""

from __future__ import annotations

from typing import Any

from graphql import Executor, GraphQLList, get_named_type, is_leaf_type

from app.web.graphql.limits import too_complex_error

OBJECTS_IN_ALL = 2
"""For each object that the lists may have, so many may be completed one by one, in lists or below their items."""


class BoundedExecutor(Executor[Any]):
    """Mixed into another executor. Objects in lists count, and so do all that are completed one by one; what is read at
    once by a compiled part costs next to nothing and does not.
    """

    most_objects: int
    objects = 0
    completed = 0

    def complete_object_value(self, *arguments: Any, **named: Any) -> Any:
        """Raises TOO_COMPLEX, as for every later object of the operation."""
        self.completed += 1
        most = OBJECTS_IN_ALL * self.most_objects
        if self.completed > most:
            message = f"The answer has more than {most} objects: ask for less at once."
            raise too_complex_error("objects", most, self.completed, message)
        return super().complete_object_value(*arguments, **named)

    def complete_list_value(self, return_type: GraphQLList[Any], *arguments: Any, **named: Any) -> Any:
        """Raises TOO_COMPLEX, as every later list of the operation does."""
        *_, result, _position = arguments
        if isinstance(result, list | tuple) and not is_leaf_type(get_named_type(return_type)):
            self.objects += len(result)
            if self.objects > self.most_objects:
                raise too_complex_error(
                    "objects",
                    self.most_objects,
                    self.objects,
                    f"The answer has more than {self.most_objects} objects in its lists: ask for less at once.",
                )
        return super().complete_list_value(return_type, *arguments, **named)


def with_bound(executor_class: type[Executor[Any]], most_objects: int) -> type[Executor[Any]]:
    """The executor of the schema's library, bounded."""
    return type(f"Bounded{executor_class.__name__}", (BoundedExecutor, executor_class), {"most_objects": most_objects})
