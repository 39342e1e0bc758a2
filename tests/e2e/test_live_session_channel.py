"""Thousands may watch one class: one reading and one fold for all of them; only staff see one that is hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from app.core.ids import IdKind, decode_id
from app.domain.errors import NotFound
from app.domain.membership import Role
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_hub import LiveHub
from app.resolvers.live_session import SessionUpdate
from tests.classes import Class, make_class
from tests.factories import make, someone
from tests.fixtures_api import GraphQLClient, RunningApi, log_statements
from tests.fixtures_live import RunningRelay
from tests.listening import until
from tests.live_client import OperationFailed, live_socket
from tests.shop import at

WATCH = "subscription ($id: ID!) { session(id: $id) { kind capacityRemaining cause } }"
MANY = 100


@dataclass(eq=False)
class Listener:
    updates: list[SessionUpdate] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)

    def told(self, update: SessionUpdate) -> None:
        self.updates.append(update)

    def ended(self, error: Exception | None) -> None:
        self.errors.append(error)


@pytest.fixture
def services(running: RunningApi) -> Iterator[Services]:
    own = replace(running.api.services, live=LiveHub())
    yield own
    own.live.close()


@pytest.fixture
async def yoga(running: RunningApi, client: GraphQLClient, relay: RunningRelay) -> Class:
    assert relay is not None
    return await make_class(client, running.api.services)


async def hide(yoga: Class) -> None:
    await make(yoga.owner, "deactivateActivity", activityId=yoga.activity_id)


async def test_many_watch_one_class(services: Services, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    context = RequestContext(services=services, request_id="test")
    session_id: UUID = decode_id(IdKind.SESSION, session["id"])
    log, stop = log_statements(services.database)
    try:
        crowd = [Listener() for _ in range(MANY)]
        channel = await services.live.session(context, session_id)

        async def come(listener: Listener) -> None:
            assert await services.live.session(context, session_id) is channel
            listener.updates += await channel.join(listener, None)

        await asyncio.gather(*map(come, crowd))
        # Where it is: enter, find. What there is: enter, session, holds, whereabouts, log, events.
        assert len(log) == 8
    finally:
        stop()
    await yoga.held(session["id"], 3)
    await until(lambda: len(crowd[-1].updates) == 2)
    for number in (0, 1):
        assert {id(listener.updates[number]) for listener in crowd} == {id(crowd[0].updates[number])}
    assert crowd[0].updates[-1].capacity_remaining == 7
    late = Listener()
    assert await channel.join(late, crowd[0].updates[0].cursor) == crowd[0].updates[1:]
    assert channel.is_public
    # It is hidden now: nobody is left looking at it.
    await hide(yoga)
    await until(lambda: bool(late.errors))
    assert [len(listener.errors) for listener in (*crowd, late)] == [1] * (MANY + 1)
    assert isinstance(late.errors[0], NotFound)
    with pytest.raises(NotFound):
        await channel.join(Listener(), None)


async def test_what_is_hidden_is_for_staff_while_they_are_staff(
    running: RunningApi, client: GraphQLClient, yoga: Class
) -> None:
    services = running.api.services
    session = await yoga.at(at(3, 10))
    member = await someone(services, client, "staff")
    organization = {"organizationId": yoga.shop.organization_id}
    await make(yoga.owner, "addMember", **organization, email=member.email, role="STAFF")
    await hide(yoga)
    async with live_socket(running.socket_url, member.client.token) as socket:
        stream = await socket.subscribe(WATCH, id=session["id"])
        assert (await stream.next())["capacityRemaining"] == 10
        await yoga.staff("changeSessionCapacity", session["id"], capacity=8)
        assert await stream.next() == {"kind": "CHANGE", "capacityRemaining": 8, "cause": "CAPACITY"}
        await yoga.shop.person("other", Role.STAFF)
        await stream.nothing(0.1)
        # At once, though nothing happens to the session itself.
        await make(yoga.owner, "removeMember", **organization, userId=member.id)
        with pytest.raises(OperationFailed) as failed:
            await stream.next()
        assert failed.value.code == "NOT_FOUND"
