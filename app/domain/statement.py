"""A provider's statement: what was owed, each thing that changed it, what is owed, as rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.ledger import JournalKind
from app.domain.money import format_amount

LONGEST_DAYS = 366
HEADER = ("date", "what", "booking", "payout", "amount", "balance", "currency")

_K = JournalKind
_WHAT: Mapping[JournalKind, str] = MappingProxyType(
    {
        _K.RELEASED: "Service given, or kept after a cancellation",
        _K.FEE_CHARGED: "Fee of the customer",
        _K.CASH_PAID: "Paid in cash",
        _K.CASH_RETURNED: "Cash handed back",
        _K.REFUND_ASKED: "Refund to the customer",
        _K.REFUND_FAILED: "Refund that failed",
        _K.REFUND_BOUNCED: "Refund sent back by the bank",
        _K.PAYOUT_ASKED: "Payout",
        _K.PAYOUT_FAILED: "Payout called off",
        _K.TRANSFER_REVERSED: "Payout taken back",
        _K.DISPUTE_OPENED: "Dispute opened",
        _K.DISPUTE_REOPENED: "Dispute opened again",
        _K.DISPUTE_WON: "Dispute won",
        _K.DISPUTE_LOST: "Dispute lost",
        _K.PROCESSOR_FEE: "Fee of the processor",
    }
)


class StatementLine(NamedTuple):
    """One change of what is owed. `booking`: its number; `payout`: its number, where it is one."""

    at: datetime
    kind: str
    booking: str
    payout: int | None
    amount_minor: int


def check_period(first: date, last: date) -> None:
    """Raises ValueError for one that ends before it begins, or is longer than a year."""
    if last < first:
        raise ValueError("must not be before `from`")
    if (last - first).days >= LONGEST_DAYS:
        raise ValueError(f"must be less than {LONGEST_DAYS} days after `from`")


def opening_row(balance_minor: int, currency: str, first: date) -> str:
    return csv_row((first.isoformat(), "Opening balance", "", "", "", format_amount(balance_minor, currency), currency))


def line_row(line: StatementLine, balance_minor: int, currency: str, tz: ZoneInfo) -> str:
    """`balance_minor`: after it."""
    return csv_row(
        (
            line.at.astimezone(tz).isoformat(timespec="seconds"),
            guarded(_WHAT.get(JournalKind(line.kind), line.kind)),
            guarded(line.booking),
            "" if line.payout is None else str(line.payout),
            format_amount(line.amount_minor, currency),
            format_amount(balance_minor, currency),
            currency,
        )
    )


def closing_row(balance_minor: int, currency: str, last: date) -> str:
    return csv_row((last.isoformat(), "Closing balance", "", "", "", format_amount(balance_minor, currency), currency))


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def guarded(text: str) -> str:
    """A text that a spreadsheet takes for a text: what would begin a formula has an apostrophe before it."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def csv_row(cells: Iterable[str]) -> str:
    """By RFC 4180, with its line end."""
    target = io.StringIO()
    csv.writer(target, lineterminator="\r\n").writerow(cells)
    return target.getvalue()
