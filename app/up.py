"""`turnero up`: everything on one machine, supervised, until Ctrl-C."""

from __future__ import annotations

import errno
import http.client
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console

from app.adapters.embedded import DataFolder
from app.adapters.process import GENTLY
from app.adapters.supervisor import ChildFailed, ChildSpec, StopRequested, Supervisor
from app.core.secret import require_secret
from app.core.settings import Settings

_APP_STAGE = 2
_READY_TIMEOUT_S = 60.0
_SANDBOX_PORT = 12111
_SANDBOX_KEY = "sk_test_local"
_SANDBOX_ACCESS = "TEST-local"


class Progress:
    """Tells what is being started: a moving line on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(f"{name} …"):
                yield
        else:
            self.say(f"{name} …")
            yield
        self.say(f"✓ {name} ({time.monotonic() - began:.1f} s)", style="green")

    def say(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style)
        # Into a pipe or file, each line at once: whoever reads along waits for it.
        self._console.file.flush()


def up(settings: Settings, *, seed: bool | None) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP; 0 then. Raises FolderInUse, ChildFailed or SecretMissing.

    `seed`: whether to put in the demo data. None: into the embedded server alone, never into the operator's own.
    """
    folder = DataFolder(settings.data_dir)
    supervisor = Supervisor(folder.ledger)
    progress = Progress()
    with supervisor.signals(), folder, _listen(settings) as listener, supervisor:
        try:
            _start(settings, folder, supervisor, listener, progress, seed=seed)
            supervisor.watch()
        except StopRequested:
            pass
        finally:
            progress.say("Stopping …")
    progress.say("Stopped.")
    return 0


def _start(
    settings: Settings,
    folder: DataFolder,
    supervisor: Supervisor,
    listener: socket.socket,
    progress: Progress,
    *,
    seed: bool | None,
) -> None:
    env = _child_environment(settings, folder)
    if settings.database_url is None:
        with progress.step("PostgreSQL"):
            postgres = folder.postgres()
            postgres.start(supervisor)
        env["TURNERO_DATABASE_URL"] = folder.ledger.state.database_url = postgres.url()
        # Meant for a server of the operator's, which this is not.
        env.pop("TURNERO_MIGRATION_DATABASE_URL", None)
    if settings.redis_url is None:
        with progress.step("Valkey"):
            valkey = folder.valkey()
            valkey.start(supervisor)
        env["TURNERO_REDIS_URL"] = folder.ledger.state.redis_url = valkey.url()
    with progress.step("Migrations"):
        supervisor.run_once(_command("migrate", env))
    sign_ins = ""
    refusal = _no_demo(settings, seed)
    if refusal is None:
        with progress.step("Demo data"):
            sign_ins = supervisor.run_once(_command("seed", env))
    elif refusal:
        progress.say(refusal)
    sandbox_url = ""
    if _pays_nowhere(settings) and settings.environment == "development":
        with progress.step("Local Stripe and MercadoPago"):
            sandbox_url = _start_sandbox(settings, env, supervisor)
    with progress.step("API and worker"):
        for spec in _app_specs(settings, env, listener):
            supervisor.start(spec)
        _wait_until_ready(settings, supervisor)
    _say_what_to_open(settings, progress, sign_ins, sandbox_url)


def _start_sandbox(settings: Settings, env: dict[str, str], supervisor: Supervisor) -> str:
    """Its address. What it signs and accepts is made for this run and known to our processes alone."""
    port, secret, other_secret = _free_port(_SANDBOX_PORT), f"whsec_{secrets.token_hex(16)}", secrets.token_hex(16)
    url, hooks = f"http://127.0.0.1:{port}", f"{settings.local_url}/webhooks"
    options = {
        "--port": str(port),
        "--webhook-url": f"{hooks}/stripe",
        "--webhook-secret": secret,
        "--mercadopago-webhook-url": f"{hooks}/mercadopago",
        "--mercadopago-webhook-secret": other_secret,
    }
    supervisor.start(_command("sandbox", env, *(text for option in options.items() for text in option)))
    env["TURNERO_STRIPE_SECRET_KEY"] = _SANDBOX_KEY
    env["TURNERO_STRIPE_PUBLISHABLE_KEY"] = "pk_test_local"
    env["TURNERO_STRIPE_WEBHOOK_SECRETS"] = f'["{secret}"]'
    env["TURNERO_STRIPE_API_BASE"] = url
    env["TURNERO_MERCADOPAGO_ACCESS_TOKEN"] = _SANDBOX_ACCESS
    env["TURNERO_MERCADOPAGO_WEBHOOK_SECRETS"] = f'["{other_secret}"]'
    env["TURNERO_MERCADOPAGO_API_BASE"] = f"{url}/mercadopago"
    return url


def _pays_nowhere(settings: Settings) -> bool:
    """No processor has a key: one real key, and nothing pretends to be another processor."""
    return settings.stripe_secret_key is None and settings.mercadopago_access_token is None


def _free_port(wanted: int) -> int:
    """The usual one, or any while another `turnero up` has it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _no_demo(settings: Settings, seed: bool | None) -> str | None:
    """Why the demo data is left out: `""` when that was asked for. None: it goes in."""
    if seed is False:
        return ""
    if settings.environment == "production":
        return "No demo data in production: its passwords are known to everyone."
    if seed is None and settings.database_url is not None:
        return "No demo data in a database of yours: its passwords are known to everyone. To have it: turnero up --seed"
    return None


def _child_environment(settings: Settings, folder: DataFolder) -> dict[str, str]:
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    env = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "TURNERO_DATA_DIR": str(folder.path),
        "TURNERO_HOST": settings.host,
        "TURNERO_PORT": str(settings.port),
        "TURNERO_SECRET_KEY": require_secret(settings.environment, secret, folder.path),
    }
    given = {"TURNERO_DATABASE_URL": settings.database_url, "TURNERO_REDIS_URL": settings.redis_url}
    return env | {name: url for name, url in given.items() if url is not None}


def _command(name: str, env: dict[str, str], *arguments: str, pass_fds: tuple[int, ...] = ()) -> ChildSpec:
    # -P: a folder named `app` where the person happens to stand is not ours.
    return ChildSpec(
        name=name,
        command=(sys.executable, "-P", "-m", "app", name, *arguments),
        env=env,
        stage=_APP_STAGE,
        stop=GENTLY,
        pass_fds=pass_fds,
        follows_supervisor=True,
    )


def _app_specs(settings: Settings, env: dict[str, str], listener: socket.socket) -> list[ChildSpec]:
    fd = listener.fileno()
    one = _command("api", env, "--fd", str(fd), pass_fds=(fd,))
    one = replace(one, stop=((signal.SIGTERM, settings.shutdown_grace_s + 0.8), (signal.SIGKILL, 0.5)))
    api = [one] * settings.api_processes
    return [*api, _command("worker", env)]


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """The API's socket, held here: an API process that dies drops its own connections, but never the port.

    Raises ChildFailed when the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise ChildFailed(
                f"Port {settings.port} is in use by another program. Choose another: turnero up --port PORT "
                "(make up PORT=PORT)."
            ) from error
        raise ChildFailed(f"Cannot listen on {where}: {error.strerror or error}.") from error
    with listener:
        yield listener


def _wait_until_ready(settings: Settings, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    said = "no answer"
    while time.monotonic() < deadline:
        supervisor.check_stop()
        supervisor.check_all_run()
        said = _readiness(settings)
        if said == "200":
            return
        time.sleep(0.1)
    raise ChildFailed(f"The API was not ready in {_READY_TIMEOUT_S:.0f} s; /health/ready said: {said}")


def _readiness(settings: Settings) -> str:
    """Status of /health/ready, with the beginning of what it says when that is not 200."""
    connection = http.client.HTTPConnection(settings.local_url.removeprefix("http://"), timeout=3)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read(500).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
    return "200" if answer.status == 200 else f"{answer.status} {body}"


def _say_what_to_open(settings: Settings, progress: Progress, sign_ins: str, sandbox_url: str) -> None:
    url = settings.local_url
    lines = [
        "",
        f"  {'GraphiQL' if settings.graphiql_enabled else 'GraphQL':<10}{url}/graphql",
        f"  {'Health':<10}{url}/health/ready",
        f"  {'Data':<10}{settings.data_dir.expanduser().resolve()}",
    ]
    if sandbox_url:
        lines.append(f"  {'Payments':<10}{sandbox_url}/_sandbox/ (a local Stripe and MercadoPago: no real money)")
    if sign_ins:
        lines += ["", *(f"  {line}" for line in sign_ins.splitlines())]
    lines += ["", "Ctrl-C stops everything."]
    for line in lines:
        progress.say(line)
