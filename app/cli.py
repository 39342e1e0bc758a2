"""`turnero`: one program for every process and chore. Each command imports what it needs, so that `--help` is quick."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app.core.pauses import leave_uncollected, look_seldom

if TYPE_CHECKING:
    from app.core.settings import Settings
    from app.money import Told

T = TypeVar("T")


class WrongUse(Exception):
    """The command cannot run like this. The text says what to change."""


def main() -> None:
    look_seldom()
    code = run(sys.argv[1:])
    leave_uncollected()
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    _override(arguments)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        text = _explain(error)
        if text is None:
            raise
        sys.stderr.write(f"turnero: {text}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="turnero", description="Open, self-hosted booking platform. Settings: docs/settings.md."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=command)
        return one

    up = add("up", _up, "Start everything on this machine: PostgreSQL, Valkey, the API and a worker.")
    up.add_argument(
        "--seed",
        action=argparse.BooleanOptionalAction,
        help="put in the demo data, or leave it out (default: only into the embedded PostgreSQL)",
    )
    api = add("api", _api, "Serve the GraphQL API.")
    api.add_argument("--fd", type=int, help="listen on this open socket, shared with other processes (of systemd: 3)")
    for one in (up, api):
        one.add_argument("--host", help="address to listen on")
        one.add_argument("--port", help="TCP port to listen on")
        one.add_argument("--api-processes", metavar="N", help="API processes that share the port")
    reconcile = add("reconcile", _reconcile, "Compare our books with the processors' now, and list what differs.")
    reconcile.add_argument("--since", metavar="WHEN", help="24h, 7d or an instant (default: since the last run)")
    check = add("check-money", _check_money, "Check that every booking, its payments and its ledger agree.")
    for one in (reconcile, check):
        one.add_argument("--organization", metavar="ID", help="only of this one: org_…")
    others = [
        reconcile,
        check,
        up,
        api,
        add("worker", _worker, "Run jobs and pass events on to subscribers."),
        add("migrate", _migrate, "Bring the database to the schema of this version."),
        add("seed", _seed, "Put in the demo data. Safe to repeat."),
    ]
    for one in others:
        one.add_argument("--data-dir", metavar="FOLDER", help="folder of the embedded servers and the secret key")
    demo = add("demo", _demo, "Walk through a guest's journey against a running server.")
    demo.add_argument("--url", help="address of the server (default: this machine)")
    demo.add_argument("--port", help="TCP port of a server on this machine")
    sandbox = add(
        "sandbox", _sandbox, "Serve a local Stripe and MercadoPago: test cards, signed webhooks, no real money."
    )
    # Under names of their own: `--host` and `--port` elsewhere are the API's, and go into the environment.
    sandbox.add_argument("--host", dest="sandbox_host", default="127.0.0.1", help="address to listen on")
    sandbox.add_argument("--port", dest="sandbox_port", type=_port, default=12111, help="TCP port (default: 12111)")
    sandbox.add_argument("--data", metavar="FILE", type=Path, help="file that keeps everything, or :memory:")
    sandbox.add_argument("--api-key", metavar="KEY", help="the one secret key it accepts (default: any sk_test_…)")
    sandbox.add_argument("--webhook-url", metavar="URL", help="address that gets every event")
    sandbox.add_argument("--webhook-secret", metavar="SECRET", help="what the events for that address are signed with")
    sandbox.add_argument("--mercadopago-webhook-url", metavar="URL", help="the same for the local MercadoPago")
    sandbox.add_argument(
        "--mercadopago-webhook-secret", metavar="SECRET", help="what its notifications are signed with"
    )
    sandbox.add_argument("--public-url", metavar="URL", help="where clients reach it (default: http://HOST:PORT)")
    sandbox.add_argument(
        "--enforce-onboarding", action="store_true", help="refuse transfers to accounts that are not onboarded"
    )
    for name, command, text in (
        ("export-schema", _export_schema, "Write schema.graphql."),
        ("settings-doc", _settings_doc, "Write docs/settings.md."),
    ):
        add(name, command, text).add_argument("--check", action="store_true", help="compare only; 1 if it differs")
    return parser


def _override(arguments: argparse.Namespace) -> None:
    """Options rule over the environment. They are put into it, so that child processes see them too."""
    for name in ("host", "port", "api_processes", "data_dir"):
        value = getattr(arguments, name, None)
        if value is not None:
            os.environ[f"TURNERO_{name.upper()}"] = value


def _explain(error: Exception) -> str | None:
    """The text for a person, for what a person can mend; None for a fault of ours, which keeps its traceback."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from app.adapters.process import FolderInUse
    from app.adapters.supervisor import ChildFailed
    from app.core.secret import SecretMissing

    if isinstance(error, ValidationError) and error.title == "Settings":
        # The values stay out of the text: one of them may be a secret.
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return "\n".join(["a setting is wrong.", *(f"  {_setting_name(e['loc'])}: {e['msg']}" for e in found)])
    if isinstance(error, SettingsError | WrongUse | FolderInUse | ChildFailed | SecretMissing):
        return str(error)
    return None


def _setting_name(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"TURNERO_{name.upper()}"


def _settings() -> Settings:
    """The settings, with logging set up by them."""
    from app.core.logging import configure_logging
    from app.core.settings import get_settings

    get_settings.cache_clear()
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    return settings


def _process_settings() -> Settings:
    """Settings of a process that serves: its servers' addresses and the secret key are known, or WrongUse is raised.

    A run of `turnero up` in the data folder gives the addresses that are not set.
    """
    from app.adapters.embedded import running_urls
    from app.core.secret import require_secret

    settings = _settings()
    state = running_urls(settings.data_dir)
    urls = {
        "DATABASE_URL": settings.database_url or state.database_url,
        "REDIS_URL": settings.redis_url or state.redis_url,
    }
    for name, url in urls.items():
        if url is None:
            raise WrongUse(
                f"{name} is not set, and `turnero up` does not run in {settings.data_dir}. Set it, or run that."
            )
        os.environ[f"TURNERO_{name}"] = url
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    os.environ["TURNERO_SECRET_KEY"] = require_secret(settings.environment, secret, settings.data_dir)
    return _settings()


@contextmanager
def _chore_settings() -> Iterator[Settings]:
    """Settings of a chore. Without addresses it uses those of a running `up`, else starts the servers for itself."""
    from app.adapters.embedded import embedded_servers, running_urls

    settings = _settings()
    state = running_urls(settings.data_dir)
    if (settings.database_url or state.database_url) and (settings.redis_url or state.redis_url):
        yield _process_settings()
        return
    with embedded_servers(settings.data_dir) as (postgres, valkey):
        os.environ.setdefault("TURNERO_DATABASE_URL", settings.database_url or postgres.url())
        os.environ.setdefault("TURNERO_REDIS_URL", settings.redis_url or valkey.url())
        yield _process_settings()


def _up(arguments: argparse.Namespace) -> int:
    from app.up import up

    return up(_settings(), seed=arguments.seed)


def _api(arguments: argparse.Namespace) -> int:
    import uvicorn

    from app.adapters.supervisor import follow_supervisor
    from app.serving import serve
    from app.web.frames import FrameProtocol

    settings = _process_settings()
    follow_supervisor(within_s=settings.shutdown_grace_s + 1)
    # Given the listening socket by the supervisor, this is one of the processes that share it.
    workers = 1 if arguments.fd is not None else settings.api_processes
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws=FrameProtocol,
        ws_max_size=settings.graphql_max_body_bytes,
        ws_ping_interval=None,  # those of graphql-transport-ws have one timer for all sockets
        # Compression would double the memory of each socket for frames of a few hundred bytes.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # app.web.address reads X-Forwarded-For; were it read here too, the peer that it trusts would be gone.
        proxy_headers=False,
        # Longer than clients and proxies keep an idle connection, so that it is theirs to close: a request sent while
        # we close ours would be lost.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        # A new process that takes longer to start leaves the old one in its place.
        timeout_worker_healthcheck=60,
    )
    listener = config.bind_socket() if arguments.fd is None else socket.socket(fileno=arguments.fd)
    return 0 if serve(config, listener) else 1


def _worker(_arguments: argparse.Namespace) -> int:
    from app.adapters.supervisor import follow_supervisor

    follow_supervisor()
    settings = _process_settings()
    from app.worker import run as run_worker

    run_worker(settings)
    return 0


def _migrate(_arguments: argparse.Namespace) -> int:
    from app.adapters.supervisor import follow_supervisor
    from app.core.migrations import migrate

    follow_supervisor()
    settings = _settings()
    url = settings.migration_database_url or settings.database_url
    if url is not None:
        migrate(url)
        return 0
    with _chore_settings() as complete:
        migrate(complete.database_url or "")
    return 0


def _seed(_arguments: argparse.Namespace) -> int:
    import asyncio

    from app.adapters.supervisor import follow_supervisor
    from app.demo_data import seed

    follow_supervisor()
    with _chore_settings() as settings:
        for line in asyncio.run(seed(settings)):
            sys.stdout.write(f"{line}\n")
    return 0


def _reconcile(arguments: argparse.Namespace) -> int:
    import asyncio

    from app.money import read_organization, read_since, run_reconcile

    since = _read("--since", read_since, arguments.since)
    organization = _read("--organization", read_organization, arguments.organization)
    with _chore_settings() as settings:
        return _tell(asyncio.run(run_reconcile(settings, since=since, organization_id=organization)))


def _check_money(arguments: argparse.Namespace) -> int:
    import asyncio

    from app.money import read_organization, run_check

    organization = _read("--organization", read_organization, arguments.organization)
    with _chore_settings() as settings:
        return _tell(asyncio.run(run_check(settings, organization_id=organization)))


def _read(option: str, read: Callable[[str], T], text: str | None) -> T | None:
    """Raises WrongUse."""
    try:
        return None if text is None else read(text)
    except (ValueError, OverflowError):
        raise WrongUse(f"{option} cannot be {text!r}. See: turnero --help") from None


def _tell(told: Told) -> int:
    sys.stdout.write("".join(f"{line}\n" for line in told.lines))
    return 0 if told.is_good else 1


def _demo(arguments: argparse.Namespace) -> int:
    from app.demo import run as run_demo

    return run_demo(arguments.url or _settings().local_url)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:6]) <= 65_535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _sandbox(arguments: argparse.Namespace) -> int:
    from app.adapters.supervisor import follow_supervisor
    from app.sandbox.main import listen, serve
    from app.sandbox.settings import IN_MEMORY, ConfiguredEndpoint, SandboxSettings

    follow_supervisor()
    folder = _settings().data_dir
    for kind in ("", "mercadopago_"):
        address, secret = getattr(arguments, f"{kind}webhook_url"), getattr(arguments, f"{kind}webhook_secret")
        option = f"--{kind}webhook".replace("_", "-")
        if (address is None) != (secret is None):
            raise WrongUse(f"{option}-url and {option}-secret belong together.")
        if address is not None and not address.startswith(("http://", "https://")):
            raise WrongUse(f"{option}-url must begin with http:// or https://.")
    if arguments.api_key is not None and not arguments.api_key.startswith("sk_test_"):
        raise WrongUse("--api-key must begin with sk_test_: a real key does not belong into a sandbox.")
    try:
        listening = listen(arguments.sandbox_host, arguments.sandbox_port)
    except OSError as error:
        raise WrongUse(
            f"Port {arguments.sandbox_port} of {arguments.sandbox_host} cannot be had ({error.strerror}). "
            "Name another: turnero sandbox --port 12112"
        ) from None
    host = f"[{arguments.sandbox_host}]" if ":" in arguments.sandbox_host else arguments.sandbox_host
    url = (arguments.public_url or f"http://{host}:{listening.getsockname()[1]}").rstrip("/")
    endpoint = arguments.webhook_url and ConfiguredEndpoint(arguments.webhook_url, arguments.webhook_secret)
    settings = SandboxSettings(
        public_url=url,
        data_path=str(arguments.data or folder / "sandbox" / "stripe.sqlite3"),
        api_key=arguments.api_key,
        endpoints=(endpoint,) if endpoint else (),
        enforce_onboarding=arguments.enforce_onboarding,
        mercadopago_endpoint=(
            ConfiguredEndpoint(arguments.mercadopago_webhook_url, arguments.mercadopago_webhook_secret)
            if arguments.mercadopago_webhook_url
            else None
        ),
    )
    kept = "in memory" if settings.data_path == IN_MEMORY else f"in {settings.data_path}"
    sys.stdout.write(f"Local Stripe at {url}/ , kept {kept}. Pages: {url}/_sandbox/\n")
    sys.stdout.flush()
    return 0 if serve(settings, listening) else 1


def _export_schema(arguments: argparse.Namespace) -> int:
    from app import reference

    return _generate(reference.SCHEMA_FILE, reference.schema_sdl(), check=arguments.check)


def _settings_doc(arguments: argparse.Namespace) -> int:
    from app import reference

    return _generate(reference.SETTINGS_FILE, reference.settings_markdown(), check=arguments.check)


def _generate(path: Path, text: str, *, check: bool) -> int:
    from app import reference

    if not check:
        reference.write(path, text)
        return 0
    found = reference.difference(path, text)
    if found:
        sys.stderr.write(f"{found}\n{path.name} is out of date. Run: make schema\n")
    return 1 if found else 0
