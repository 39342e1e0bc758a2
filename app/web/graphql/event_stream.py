"""GraphQL over Server-Sent Events, in the protocol's "distinct connections mode": a stream for each operation
(https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md).

Errors of the operation are events too, and so are those that a document has before it runs: whoever reads a stream sees
nothing else. What is no GraphQL request at all, or may not be made, is refused with a status as everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime

import msgspec
from graphql import ExecutionResult

from app.resolvers.live_channel import Reader
from app.web.address import address_bucket, client_address
from app.web.clients import Clients, read_own_id
from app.web.event_stream import EventStream, Expiry, Pace, Receive, Send, event_frame
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.documents import Call
from app.web.graphql.engine import GraphQLEngine, LiveOperation, RequestRefused, formatted_request_errors
from app.web.graphql.options import ContextFactory, Scope, TransportOptions
from app.web.origins import origin_allowed

COMPLETE = event_frame(b"", event="complete")
EXPIRED = {
    "message": "The access token has expired. Sign in again, and come back with your last cursor.",
    "extensions": {"code": "UNAUTHENTICATED"},
}


class ForeignOrigin(Exception):
    """A page that may not open streams here."""


def next_frame(payload: bytes) -> bytes:
    """One result, encoded."""
    return event_frame(payload, event="next")


def result_frames(payload: bytes) -> bytes:
    """The whole stream of an operation that has one result."""
    return next_frame(payload) + COMPLETE


class EventStreams:
    """Serves the subscriptions of one GraphQL address over HTTP."""

    def __init__(
        self,
        engine: GraphQLEngine,
        context_factory: ContextFactory,
        options: TransportOptions,
        clients: Clients,
        broadcasts: Broadcasts,
    ) -> None:
        self._engine = engine
        self._context_factory = context_factory
        self._options = options
        self._clients = clients
        self._broadcasts = broadcasts
        self._pace = Pace(
            comment_every_s=options.comment_interval_s, send_timeout_s=options.send_timeout_s, now=options.now
        )

    async def serve(
        self, call: Call, scope: Scope, headers: Mapping[str, str], request_id: str, *, receive: Receive, send: Send
    ) -> None:
        """Answer with the stream of a subscription.

        Before anything is sent it raises ForeignOrigin, BadInput, RateLimited, Restarting, and what the making of
        the context raises.
        """
        if not origin_allowed(headers, self._options.allowed_origins):
            raise ForeignOrigin
        own_id = read_own_id(headers, scope["query_string"])
        address = client_address(scope, self._options.trusted_proxies)
        context = await self._context_factory(headers, address, request_id, "http")
        stream = EventStream(receive, send, self._pace, self._expiry(context))
        with self._clients.visit(address_bucket(address) if address else None, stream.restart) as visit:
            visit.identify(getattr(context, "user_id", None), own_id)
            visit.begin()
            await stream.run(self._frames(call, context, request_id), {"x-request-id": request_id})

    def _expiry(self, context: object) -> Expiry | None:
        at = getattr(context, "expires_at", None)
        if not isinstance(at, datetime):
            return None
        return Expiry(at, result_frames(_encode({"errors": [EXPIRED]})))

    async def _frames(self, call: Call, context: object, request_id: str) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._payloads(call, context, request_id)) as payloads:
                async for payload in payloads:
                    yield next_frame(payload)
        except RequestRefused as refused:
            yield next_frame(_encode({"errors": formatted_request_errors(refused.errors)}))
        except Exception as error:
            yield next_frame(_encode({"errors": [self._engine.describe_exception(error, request_id)]}))
        yield COMPLETE

    async def _payloads(self, call: Call, context: object, request_id: str) -> AsyncGenerator[bytes, None]:
        """The encoded results, one after another: all that this module wants to know of a subscription's source."""
        source = await self._engine.listen(call, context)
        if isinstance(source, LiveOperation):
            async with aclosing(self._shared(source, request_id)) as payloads:
                async for payload in payloads:
                    yield payload
            return
        if isinstance(source, ExecutionResult):
            yield _encode({"errors": self._engine.describe(source.errors or [], request_id)})
            return
        async with aclosing(source):
            async for result in source:
                yield _encode(self._engine.result(result, request_id))

    async def _shared(self, operation: LiveOperation, request_id: str) -> AsyncGenerator[bytes, None]:
        """What was executed and encoded once for all who listen to the same, over sockets too."""
        broadcast = self._broadcasts.enter(operation, request_id)
        reader = Reader(broadcast.channel)
        try:
            opening = await broadcast.channel.join(reader, operation.stream.after)
            try:
                for update in opening:
                    yield await self._broadcasts.payload(broadcast, update)
                async for update in reader:
                    yield await self._broadcasts.payload(broadcast, update)
            except Exception as error:  # from here on it is everybody's
                yield b'{"errors":%b}' % broadcast.describe(error)
        finally:
            broadcast.channel.leave(reader)
            broadcast.leave()


_encode = msgspec.json.Encoder().encode
