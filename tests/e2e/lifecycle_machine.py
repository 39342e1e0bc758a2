"""The random lives as a state machine of Hypothesis: it chooses operations, and finds the shortest way to a fault.

A run is repeated with its seed: TURNERO_SEED=7 TURNERO_EXAMPLES=200.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.e2e.lifecycle_automatic import Automatic
from tests.e2e.lifecycle_bulk import Bulk
from tests.e2e.lifecycle_groups import Groups
from tests.e2e.lifecycle_life import MOST, MOST_ARGUMENTS, operations_of
from tests.e2e.lifecycle_returning import Returning
from tests.e2e.lifecycle_rows import Reader
from tests.e2e.lifecycle_series import Recurring
from tests.e2e.lifecycle_staff import Staff
from tests.e2e.lifecycle_waitlist import Waiting
from tests.e2e.lifecycle_world import World, make_world

STEPS = 8
"""Of an example. Longer ones find more, and cost more."""


@dataclass
class Lives(Groups, Waiting, Recurring, Returning, Automatic, Staff, Bulk):
    """Everything that can happen."""


OPERATIONS = operations_of(Lives)
OFTEN = [name for name, one in OPERATIONS.items() for _ in range(one.often)]
NUMBERS = st.tuples(*[st.integers(0, MOST - 1)] * MOST_ARGUMENTS)


async def begin(world: World) -> Lives:
    """A shop of its own, and nobody in it yet."""
    ground = await world.ground()
    reader = Reader(world.raw, ground)
    return Lives(world, ground, reader, await reader.read(world.now()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seen`: how often each operation was done or refused."""

    seed: int
    examples: int
    seen: Counter[str]
    cpu_s: float

    @property
    def report(self) -> str:
        """With all that it takes to repeat it."""
        seen = dict(sorted(self.seen.items()))
        return f"TURNERO_SEED={self.seed} TURNERO_EXAMPLES={self.examples} cpu={self.cpu_s:.1f}s {seen}"


def run_lives(examples: int, chosen_seed: int, database_url: str, redis_url: str, *, steps: int = STEPS) -> Outcome:
    """So many. Raises AssertionError with the shortest way to a fault, for which the seed is printed by the caller.

    Not inside a running event loop: it has its own.
    """
    began = time.process_time()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        context = make_world(database_url, redis_url)
        world = runner.run(context.__aenter__())
        try:
            machine = seed(chosen_seed)(machine_of(runner, world))
            run_state_machine_as_test(machine, settings=_profile(examples, steps))
        finally:
            runner.run(_leave(context))
    return Outcome(chosen_seed, examples, world.seen, time.process_time() - began)


async def _leave(context: Any) -> None:
    await context.__aexit__(None, None, None)


class Afresh(HypothesisProvider):
    """Every example is a new one, and every number is as likely as any other.

    Hypothesis's own way makes five of six examples from earlier ones, with the same steps over and over.
    """

    def draw_integer(self, min_value: int | None = None, max_value: int | None = None, **_: Any) -> int:
        assert self._random is not None
        assert min_value is not None
        assert max_value is not None
        return self._random.randint(min_value, max_value)


AVAILABLE_PROVIDERS["afresh"] = Afresh


def _profile(examples: int, steps: int) -> settings:
    return settings(
        backend="afresh",
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def machine_of(runner: asyncio.Runner, world: World) -> type[RuleBasedStateMachine]:
    """One rule for all: Hypothesis would choose rare and common operations alike."""

    class Lifecycle(RuleBasedStateMachine):
        life: Lives

        @initialize()
        def begin(self) -> None:
            self.life = runner.run(begin(world))

        @rule(what=st.sampled_from(OFTEN), numbers=NUMBERS)
        def do(self, what: str, numbers: tuple[int, ...]) -> None:
            one = self.life.possible(OPERATIONS[what])
            faults = runner.run(self.life.step(one, numbers))
            assert not faults, "\n".join([f"{one.name} {one.arguments(numbers)}", *faults])

    return Lifecycle
