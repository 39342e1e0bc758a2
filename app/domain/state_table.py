"""What can be wrong with a table of states and the steps between them; asked when such a table is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)


def state_table_faults(
    table: Mapping[State, frozenset[State]], states: Iterable[State], initial: State, terminal: frozenset[State]
) -> list[str]:
    """States without a row or never reached, steps to the state itself, dead ends that are not `terminal`."""
    states = tuple(states)
    faults = [f"{state.name} has no row" for state in states if state not in table]
    faults += [f"{state.name} leads to itself" for state, targets in table.items() if state in targets]
    reached = reachable(table, initial) | {initial}
    faults += [f"{state.name} is never reached" for state in states if state not in reached]
    ends = {state for state, targets in table.items() if not targets}
    faults += [f"{state.name} should be terminal" for state in terminal - ends]
    faults += [f"{state.name} is a dead end" for state in ends - terminal]
    return faults


def reachable(table: Mapping[State, frozenset[State]], start: State) -> frozenset[State]:
    """Every state that one or more steps lead to from `start`."""
    reached: set[State] = set()
    frontier = [start]
    while frontier:
        fresh = table.get(frontier.pop(), frozenset()) - reached
        reached |= fresh
        frontier += fresh
    return frozenset(reached)
