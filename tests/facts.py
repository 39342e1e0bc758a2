"""What is asked of the facts behind free slots in tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from uuid import UUID

from app.core.database import Database
from app.domain.plan import Window
from app.queries.availability_facts import Facts, FactsAnswer, FactsQuestion, Told, ask_facts
from tests.shop import Shop, at

TODAY = datetime.now(UTC).date()
WEEK = Window(at(2, 0), at(9, 0))


async def ask(
    database: Database,
    shop: Shop,
    *,
    people: tuple[UUID, ...] | None = None,
    starts: Window = WEEK,
    known: Facts | None = None,
    today: date = TODAY,
) -> FactsAnswer:
    return await ask_facts(database, FactsQuestion.of(shop.service_uuids[0], people, starts), today, known=known)


def content(facts: Facts) -> dict[str, object]:
    """What it says, in a form that compares. Versions of what did not change may be older ones."""
    busy = {
        subject: (
            sorted(zip(packed.lows, packed.highs, strict=True)),
            sorted(packed.details, key=lambda one: (one.busy_from, one.kind, one.busy_to)),
        )
        for subject, packed in facts.busy.items()
    }
    return {"text": facts.text, "starts": facts.starts, "subjects": set(facts.versions), "busy": busy}


@dataclass(slots=True)
class Follower:
    """Somebody who keeps facts and asks again and again whether they still hold."""

    database: Database
    shop: Shop
    people: tuple[UUID, ...] | None = None
    facts: Facts | None = None
    told: list[Told] = field(default_factory=list)

    async def look(self) -> FactsAnswer:
        """What is kept is brought up to date, and is then what somebody who knows nothing is told."""
        answer = await ask(self.database, self.shop, people=self.people, known=self.facts)
        self.facts = answer.facts
        self.told.append(answer.told)
        whole = await ask(self.database, self.shop, people=self.people)
        assert content(answer.facts) == content(whole.facts)
        return answer
