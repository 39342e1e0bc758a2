"""A schema of what the product's own has not: lists of lists, lists with nulls, interfaces, generics, sync methods."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, NewType, TypeVar

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.schema.config import StrawberryConfig

T = TypeVar("T")
Anything = NewType("Anything", object)
Cents = NewType("Cents", Decimal)


@strawberry.enum
class Size(Enum):
    SMALL = "s"
    LARGE = 2
    HUGE = LARGE
    WIDE = strawberry.enum_value("w", name="as_wide")


class Shout(FieldExtension):
    def resolve(self, next_: Any, source: Any, info: strawberry.Info, **arguments: Any) -> str:
        return str(next_(source, info, **arguments)).upper()


@strawberry.interface
class Named:
    name: str | None
    size: Size | None


@strawberry.type
class Dog(Named):
    weights: list[float | None]
    measures: list[Measure | None]
    friends: list[Pet | None]
    kennel: Box[Dog] | None


@strawberry.type
class Cat(Named):
    lives: int
    pictures: list[list[str | None] | None] | None
    toys: list[list[Cat]] | None
    loud: str = strawberry.field(extensions=[Shout()])

    @strawberry.field
    def twice(self) -> str | None:
        return None if self.name is None else 2 * self.name

    @strawberry.field
    def is_alive(self) -> bool:
        return 10 // self.lives > 0

    @strawberry.field
    def each(self) -> list[Cat]:
        return [self, self]

    @strawberry.field
    async def later(self) -> str | None:
        return self.name


@strawberry.type
class Measure:
    count: int
    ratio: float
    is_open: bool
    text: str
    id: strawberry.ID
    size: Size
    cents: Cents
    maybe_count: int | None
    maybe_ratio: float | None
    maybe_open: bool | None
    maybe_text: str | None
    maybe_size: Size | None
    anything: Anything | None

    @strawberry.field
    def half(self) -> float:
        return self.count / 2


Pet = Annotated[Cat | Dog, strawberry.union("Pet")]


@strawberry.type
class Box(Generic[T]):
    content: T | None
    others: list[T]
    price: Cents | None
    note: Anything | None
    id: strawberry.ID


@strawberry.type
class Query:
    """The values of its fields are given by `random_worlds`."""

    measures: list[Measure]
    cats: list[Cat | None]
    cat: Cat | None
    names: list[list[str | None]] | None
    named: list[Named]
    pet: Pet | None
    box: Box[Cat] | None
    boxes: list[list[Box[Dog] | None] | None] | None


schema = strawberry.Schema(
    Query,
    config=StrawberryConfig(
        scalar_map={
            Anything: strawberry.scalar(name="Anything", serialize=lambda value: value),
            Cents: strawberry.scalar(name="Cents", serialize=str, parse_value=Decimal),
        }
    ),
)
