"""A week of free slots from memory, through our transport: `python -m bench.replies_server`. Prints its port."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import strawberry
import uvicorn
from litestar import Litestar

from app.web.application import web_application
from app.web.graphql import GraphQLEngine, GraphQLTransport, Limits, TransportOptions, describe_error
from app.web.graphql.transport import GRAPHQL_PATH, graphql_routes

DAYS = 7
SLOTS = 20


@strawberry.type
class Slot:
    starts_at: str
    ends_at: str
    remaining: int
    provider_id: strawberry.ID


@strawberry.type
class AvailabilityDay:
    date: str
    slots: list[Slot]


@strawberry.type
class Availability:
    days: list[AvailabilityDay]


def _clock(half_hour: int) -> str:
    return f"{8 + half_hour // 2:02}:{30 * (half_hour % 2):02}:00Z"


def _day(number: int) -> AvailabilityDay:
    date = f"2026-03-{number:02}"
    slots = [
        Slot(
            starts_at=f"{date}T{_clock(slot)}",
            ends_at=f"{date}T{_clock(slot + 1)}",
            remaining=slot % 5,
            provider_id=strawberry.ID(f"prv_{slot % 4}"),
        )
        for slot in range(SLOTS)
    ]
    return AvailabilityDay(date=date, slots=slots)


WEEK = Availability(days=[_day(number) for number in range(1, DAYS + 1)])


@strawberry.type
class Query:
    @strawberry.field
    async def availability(self) -> Availability:
        return WEEK


async def _context(headers: Mapping[str, str], client_address: str | None, request_id: str, channel: str) -> object:
    return headers, client_address, request_id, channel


def application() -> Litestar:
    """The real application's set-up around another schema."""
    schema = strawberry.Schema(query=Query)
    engine = GraphQLEngine(
        schema._schema,
        execution_context_class=schema.execution_context_class,
        limits=Limits(),
        introspection=False,
        suggestions=False,
        describe_error=describe_error,
    )
    transport = GraphQLTransport(engine, _context, TransportOptions())
    return web_application(graphql_routes(transport), allowed_origins=["*"], shortcuts={GRAPHQL_PATH: transport.http})


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        application(),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
