"""What must be true when all is over: both sides' books agree to the cent, and everybody has what is theirs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.ledger import Account, Entry, Journal, JournalKind, ledger_faults
from app.domain.rounding import charge_step
from tests.e2e.checkout_world import World

_PAYMENTS = """
SELECT id, booking_id, kind, processor, status, captured_minor, refunded_minor FROM payment WHERE kind <> 'setup'
"""
_BOOKINGS = """
SELECT b.id, b.status, b.payment_status, b.payment_method, b.price_minor, b.paid_minor, b.refunded_minor,
       (SELECT coalesce(sum(r.amount_minor - r.excess_minor), 0) FROM refund r
        WHERE r.booking_id = b.id AND r.status = 'succeeded') AS returned,
       (SELECT coalesce(sum(f.kept_minor + CASE f.status WHEN 'charged' THEN f.charge_minor ELSE 0 END), 0)
        FROM booking_fee f WHERE f.booking_id = b.id AND f.status IN ('kept', 'due', 'charged', 'owed')) AS fees,
       EXISTS (SELECT 1 FROM payment p WHERE p.booking_id = b.id AND p.disputes <> '{}') AS was_disputed,
       (SELECT count(*) FROM allocation a WHERE a.booking_id = b.id AND a.status IN ('held', 'booked')) AS claims
FROM booking b
"""
_LEDGER = """
SELECT e.journal_id, j.kind, j.currency, e.booking_id, e.account, e.amount_minor, e.payee_id
FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id
"""
_OVER = frozenset({"expired", "cancelled", "no_show", "refunded", "completed"})
_CASH = frozenset({JournalKind.CASH_PAID, JournalKind.CASH_RETURNED})


@dataclass(slots=True)
class Books:
    """`since`: of the run. `top_up`: what the platform put into its balance by itself."""

    world: World
    organization: UUID
    currency: str
    since: datetime
    top_up: int
    faults: list[str] = field(default_factory=list)
    journals: list[Journal] = field(default_factory=list)

    async def check(self) -> list[str]:
        """What is wrong, for a person."""
        await self._read_ledger()
        captured, returned = await self._payments()
        await self._refunds()
        sent = await self._payouts()
        await self._bookings()
        await self._balances(captured, returned, sent)
        await self._left_over()
        return self.faults

    def _unless(self, is_right: bool, fault: str) -> None:
        if not is_right:
            self.faults.append(fault)

    # ── payments and refunds ──────────────────────────────────────────────────────────────────────────

    async def _payments(self) -> tuple[int, int]:
        """Each is there once, with the same sums. Captured and returned in all, at the processor."""
        ours = {row["id"]: row for row in await self.world.rows(_PAYMENTS)}
        met: Counter[Any] = Counter()
        captured = returned = 0
        async for theirs in self.world.workers.gateway("stripe").list_payments(self.since):
            if theirs.payment_id is None:
                continue
            met[theirs.payment_id] += 1
            row = ours.get(theirs.payment_id)
            there = (theirs.intent.captured_minor, theirs.refunded_minor)
            captured, returned = captured + there[0], returned + there[1]
            if row is None:
                self.faults.append(f"{theirs.processor_id} is none of our payments")
                continue
            excess = await self._excess(row["id"]) if row["refunded_minor"] != there[1] else 0
            here = (row["captured_minor"], row["refunded_minor"] + excess)
            self._unless(here == there, f"{theirs.processor_id}: {there} there, {here} here: {row}")
        self.faults += [f"payment {name} has {count} intents" for name, count in met.items() if count != 1]
        lost = [row for name, row in ours.items() if name not in met and row["captured_minor"]]
        self.faults += [f"paid here, unknown there: {row}" for row in lost if row["processor"] == "stripe"]
        self.world.seen["captured in all"], self.world.seen["returned in all"] = captured, returned
        return captured, returned

    async def _excess(self, payment_id: UUID) -> int:
        """What went back by hand there beyond what was left."""
        query = (
            "SELECT coalesce(sum(excess_minor), 0) AS sum FROM refund WHERE payment_id = :id AND status = 'succeeded'"
        )
        return int((await self.world.rows(query, id=payment_id))[0]["sum"])

    async def _refunds(self) -> None:
        """None was made twice."""
        met: Counter[Any] = Counter()
        async for theirs in self.world.workers.gateway("stripe").list_refunds(self.since):
            if theirs.refund_id is not None:
                met[theirs.refund_id] += 1
        self.faults += [f"refund {name} was made {count} times" for name, count in met.items() if count != 1]

    # ── payouts ───────────────────────────────────────────────────────────────────────────────────────

    async def _payouts(self) -> int:
        """Each was sent once, to whom it was meant for. What was sent in all, less what came back."""
        ours = {row["id"]: row for row in await self.world.rows("SELECT * FROM payout")}
        accounts = {
            row["account_id"]: row["provider_id"] for row in await self.world.rows("SELECT * FROM payout_account")
        }
        received: Counter[UUID] = Counter()
        met: Counter[UUID] = Counter()
        async for theirs in self.world.workers.gateway("stripe").list_transfers(self.since):
            received[accounts[theirs.account_id]] += theirs.amount_minor - theirs.reversed_minor
            row = ours.get(theirs.transfer_id) if theirs.transfer_id is not None else None
            if row is None:
                self.faults.append(f"transfer {theirs.processor_id} is none of our payouts")
                continue
            met[row["id"]] += 1
            there = (theirs.processor_id, theirs.amount_minor, theirs.account_id)
            here = (row["processor_id"], row["amount_minor"], row["account_id"])
            self._unless(here == there and row["status"] == "sent", f"payout {row['id']}: {there} there, here {row}")
        self.faults += [f"payout {name} was sent {count} times" for name, count in met.items() if count != 1]
        for name, row in ours.items():
            self.world.seen[f"payout {row['status']}"] += 1
            wanted = {"sent"} if name in met else {"cancelled"}
            self._unless(
                row["status"] in wanted, f"payout {name} is {row['status']}, and {met[name]} transfers are there"
            )
        for provider, amount in self._paid_out().items():
            told = f"provider {provider} has {amount} by our books, and {received[provider]} there"
            self._unless(amount == received[provider], told)
        return received.total()

    def _paid_out(self) -> Mapping[UUID, int]:
        """By provider, beside the cash that they kept."""
        found: Counter[UUID] = Counter()
        for journal in self.journals:
            for entry in journal.entries:
                if entry.account is Account.PAID_OUT and entry.payee_id is not None and journal.kind not in _CASH:
                    found[entry.payee_id] += entry.amount_minor
        return found

    # ── bookings ──────────────────────────────────────────────────────────────────────────────────────

    async def _bookings(self) -> None:
        """Every guest who paid has had a booking, owes a fee, or has the money back."""
        places: dict[UUID, Counter[Account]] = defaultdict(Counter)
        for journal in self.journals:
            for entry in journal.entries:
                places[entry.booking_id][entry.account] += entry.amount_minor
        for row in await self.world.rows(_BOOKINGS):
            self.world.seen[f"booking {row['status']}"] += 1
            books = places[row["id"]]
            kept = -books[Account.CUSTOMER] - books[Account.REFUNDS]
            self._unless(row["status"] in _OVER, f"goes on for ever: {row}")
            self._unless(row["claims"] == (row["status"] == "completed"), f"its time is not as its state: {row}")
            self._unless(books[Account.ESCROW] == 0, f"its money is nobody's: {row} {dict(books)}")
            self._unless(books[Account.DISPUTES] == 0, f"its dispute goes on for ever: {row} {dict(books)}")
            self._unless(kept <= row["price_minor"] + row["fees"], f"paid too much: {row} {dict(books)}")
            if row["status"] == "completed":
                is_paid = row["payment_method"] == "pay_on_arrival" or row["paid_minor"] > 0
                self._unless(is_paid, f"served as paid, and was not: {row}")
            elif not row["was_disputed"]:  # what the bank gave back twice, or not at all, is not ours to say
                is_given_back = kept <= (row["fees"] if row["status"] in {"cancelled", "no_show"} else 0)
                self._unless(is_given_back, f"over, and {kept} was kept: {row} {dict(books)}")

    # ── the ledger ────────────────────────────────────────────────────────────────────────────────────

    async def _read_ledger(self) -> None:
        written: dict[Any, tuple[str, str, list[Entry]]] = {}
        for row in await self.world.rows(_LEDGER):
            entry = Entry(row["booking_id"], Account(row["account"]), row["amount_minor"], row["payee_id"])
            written.setdefault(row["journal_id"], (row["kind"], row["currency"], []))[2].append(entry)
        self.journals = [
            Journal(JournalKind(kind), currency, tuple(entries)) for kind, currency, entries in written.values()
        ]
        self.faults += ledger_faults(self.journals)

    async def _balances(self, captured: int, returned: int, sent: int) -> None:
        """What is at the processor belongs to somebody in our books, to the cent."""
        sums = {account: sum(journal.total(account) for journal in self.journals) for account in Account}
        self._unless(sums[Account.PROCESSOR_CLEARING] == 0, f"still on its way: {sums[Account.PROCESSOR_CLEARING]}")
        cash = sum(
            -journal.total(Account.CUSTOMER) - journal.total(Account.REFUNDS)
            for journal in self.journals
            if journal.kind in _CASH
        )
        lost = await self._lost_in_disputes()
        ours = -sums[Account.CUSTOMER] - sums[Account.REFUNDS] - sums[Account.PROCESSOR_FEES] - cash
        theirs = captured - returned - lost
        self._unless(ours == theirs, f"{ours} is left of what came in by our books, {theirs} at the processor")
        balance = sum(one.available_minor for one in await self._platform() if one.currency.upper() == self.currency)
        there = balance - self.top_up
        self._unless(there == theirs - sent, f"{there} lies at the processor, and {theirs - sent} should")
        kept = await self.world.rows("SELECT payee_id, sum(owed_minor) AS owed FROM provider_payable GROUP BY payee_id")
        owed: Counter[Any] = Counter()
        for journal in self.journals:
            for entry in journal.entries:
                if entry.account is Account.PROVIDER_PAYABLE:
                    owed[entry.payee_id] += entry.amount_minor
        for row in kept:
            name, amount = row["payee_id"], int(row["owed"])
            self._unless(
                owed[name] == amount, f"provider {name} is owed {owed[name]} by the ledger, {amount} beside it"
            )
            self._unless(amount < charge_step(self.currency), f"{amount} is still owed to provider {name}")
        self.world.seen["paid out in all"] = sent

    async def _platform(self) -> Any:
        return await self.world.workers.gateway("stripe").balance()

    async def _lost_in_disputes(self) -> int:
        lost = 0
        async for one in self.world.workers.gateway("stripe").list_disputes(self.since):
            if one.dispute.phase.value == "lost":
                lost += one.dispute.amount_minor
        return lost

    # ── nothing is left to be done ────────────────────────────────────────────────────────────────────

    async def _left_over(self) -> None:
        for row in await self.world.rows("SELECT status, count(*) AS count FROM booking_fee GROUP BY status"):
            self.world.seen[f"fee {row['status']}"] = row["count"]
        for row in await self.world.rows("SELECT kind, failed_at, last_error FROM job WHERE done_at IS NULL"):
            self.faults.append(f"a job is left over: {row}")
        query = (
            "SELECT status, count(*) AS count FROM refund WHERE status NOT IN ('succeeded', 'failed') GROUP BY status"
        )
        self.faults += [f"{row['count']} refunds are {row['status']}" for row in await self.world.rows(query)]
        query = "SELECT id, kind, status FROM payment WHERE status IN ('created', 'open', 'processing', 'authorized')"
        self.faults += [f"a payment is still open: {row}" for row in await self.world.rows(query)]
