"""The GraphQL transport: HTTP and WebSocket on bare ASGI, executing on graphql-core (see docs/adr/0004)."""

from __future__ import annotations

from app.web.graphql.engine import GraphQLEngine
from app.web.graphql.errors import ErrorDescription, describe_error
from app.web.graphql.limits import Limits
from app.web.graphql.options import ContextFactory, TransportOptions
from app.web.graphql.transport import GraphQLTransport, graphql_routes

__all__ = [
    "ContextFactory",
    "ErrorDescription",
    "GraphQLEngine",
    "GraphQLTransport",
    "Limits",
    "TransportOptions",
    "describe_error",
    "graphql_routes",
]
