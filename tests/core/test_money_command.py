"""`turnero reconcile` and `turnero check-money`: what they take, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.cli import run
from app.core.ids import IdKind, encode_id
from app.money import read_organization, read_since, run_check, run_reconcile
from tests.fixtures_api import make_settings
from tests.paying import SECRET, Paying
from tests.reconciling import Reconciling
from tests.sandbox.running import KEY
from tests.shop import make_shop

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(days=1)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-01T00:00:00+00:00", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_since_when(text: str, found: datetime) -> None:
    assert read_since(text, NOW) == found


@pytest.mark.parametrize("text", ["", "h", "-1h", "1w", "1e3h", "999999d", "2026-11-01", "2027-01-01T00:00:00Z", "٣h"])
def test_since_when_makes_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_since(text, NOW)


def test_which_organization() -> None:
    row_id = uuid4()
    assert read_organization(encode_id(IdKind.ORGANIZATION, row_id)) == row_id
    assert read_organization(str(row_id)) == row_id
    with pytest.raises(ValueError, match=r"."):
        read_organization("shop-1")


@pytest.mark.parametrize("option", [("--since", "soon"), ("--organization", "bkg_1")])
def test_the_command_names_the_option(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["reconcile", "--data-dir", str(tmp_path), *option]) == 1
    assert option[0] in capsys.readouterr().err


async def test_what_they_say(paying: Paying, redis_url: str) -> None:
    shop = await make_shop(paying.api.api.services)
    money = Reconciling(paying, shop)
    intent = await paying.sandbox.paid(amount=1_000, currency="usd", metadata=money.labels(uuid4()))
    url = paying.worker.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    keys = {"stripe_secret_key": KEY, "stripe_webhook_secrets": [SECRET], "stripe_api_base": paying.sandbox.url}
    settings = make_settings(url, redis_url, **keys)
    since = datetime.now(UTC) - timedelta(hours=1)
    told = await run_reconcile(settings, since=since, organization_id=shop.organization_uuid)
    assert told.is_good  # what waits for a person is no failure of the command
    text = "\n".join(told.lines)
    assert "stripe: 1 compared, 1 different, 0 of them healed." in text
    assert intent.id in text
    assert shop.organization_id in text
    books = await run_check(settings, organization_id=shop.organization_uuid)
    assert (books.is_good, list(books.lines)) == (True, ["books: 0 compared, 0 different, 0 of them healed."])
    nobody = await run_reconcile(make_settings(url, redis_url), since=None, organization_id=None)
    assert nobody.is_good
