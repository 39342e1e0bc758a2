"""Composition root of the local Stripe: `turnero sandbox`."""

from __future__ import annotations

import socket

import uvicorn

from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe.web import ResettableProtocol, StripeApp


def create_app(settings: SandboxSettings) -> StripeApp:
    """The ASGI application. It opens its store when the server starts it."""
    return StripeApp(settings)


def create_server(settings: SandboxSettings, grace_s: int = 2) -> uvicorn.Server:
    """A server for the application, for a socket that listens already."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            http=ResettableProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # Longer than clients keep an idle connection: a request sent while we close ours would be lost, and here
            # only what is asked for is to be lost.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=grace_s,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. OSError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError:
        listening.close()
        raise
    return listening


def serve(settings: SandboxSettings, listening: socket.socket) -> bool:
    """Serve until a signal; False if it could not start."""
    server = create_server(settings)
    server.run(sockets=[listening])
    return server.started
