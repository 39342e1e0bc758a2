"""Waiting for time: the first free start in an entry's windows, as the slot engine sees it, and holding it for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import Range

from app.commands.claim import claim_hold
from app.commands.hold import new_hold, refuse_quotes
from app.commands.hold_price import HeldPart, price_of_parts
from app.core.database import Tx
from app.domain import slots as engine
from app.domain.busy import BusyBySubject
from app.domain.claims import Part
from app.domain.errors import NotAllowed, NotFound
from app.domain.limits import claims_window
from app.domain.plan import ProviderPlan, Slot, SlotRules, Window
from app.domain.price_quote import NO_FEES, FeeRates
from app.domain.pricing import PriceType
from app.domain.waitlist import OpenedTime, TimeWindow, WaitlistStatus, within
from app.models import WaitlistEntry
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.busy import list_busy
from app.queries.waitlist import (
    WAITING_AT_ONCE,
    Present,
    get_entry,
    is_all_taken,
    lock_waiting,
    present_of,
    waiting_for_time,
)

TRIES = 40
"""Starts that are looked at for one entry: some were refused by it, some are just being taken."""
LONGEST_SERVICE = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_PUT = text("SELECT put_offer(:entry, :hold)")


@dataclass(frozen=True, slots=True)
class TimeWanted:
    """`provider_ids`, `duration_minutes` none: anybody who offers it, each at their own length."""

    service_id: UUID
    provider_ids: tuple[UUID, ...] | None
    duration_minutes: int | None
    party_size: int
    windows: tuple[TimeWindow, ...]


@dataclass(frozen=True, slots=True)
class _Search:
    """What the engine needs, of one snapshot."""

    service: ServicePlan
    plans: tuple[ProviderPlan, ...]
    busy: BusyBySubject
    rules: SlotRules

    def starts(self, windows: Sequence[TimeWindow], refused: Sequence[TimeWindow]) -> Iterator[Slot]:
        """Free ones, first to last; none of a time that was refused before."""
        for window in windows:
            start = window.from_at
            while start < window.to_at:
                slot = engine.first_slot(self.plans, self.busy, Window(start, window.to_at), self.rules)
                if slot is None:
                    break
                start = slot.starts_at + _MINUTE
                if not any(slot.starts_at < one.to_at and one.from_at < slot.ends_at for one in refused):
                    yield slot


async def _search(tx: Tx, service: ServicePlan, wanted: TimeWanted, now: datetime) -> _Search:
    """One statement."""
    plans, rules = service.plans(wanted.duration_minutes), service.rules(now)
    known = claims_window(plans, Window(wanted.windows[0].from_at, wanted.windows[-1].to_at))
    busy = await list_busy(tx, service.busy_subjects, known.from_utc, known.to_utc)
    return _Search(service, plans, {subject: claims.values() for subject, claims in busy.items()}, rules)


async def _service_of(tx: Tx, wanted: TimeWanted, *, hidden_is_missing: bool = False) -> ServicePlan:
    days = wanted.windows[0].from_at.date(), wanted.windows[-1].to_at.date()
    return await get_service_plan(
        tx, wanted.service_id, wanted.provider_ids, *days, hidden_is_missing=hidden_is_missing
    )


async def check_time(tx: Tx, wanted: TimeWanted, *, for_staff: bool, now: datetime) -> None:
    """May somebody wait for this? Two statements. Raises NotFound, InvalidInput; NotAllowed where they can have it."""
    service = await _service_of(tx, wanted, hidden_is_missing=not for_staff)
    if not service.is_active:
        raise NotFound
    errors = service.faults(wanted.duration_minutes, wanted.party_size)
    service.refuse_few(wanted.party_size, errors)
    refuse_quotes(service, "input", errors)
    if wanted.provider_ids is not None and len(service.offers) < len(wanted.provider_ids):
        errors.add("input.providerIds", "names somebody who does not offer this service")
    errors.raise_any()
    search = await _search(tx, service, wanted, now)
    slot = next(search.starts(wanted.windows, ()), None)
    if slot is not None:
        raise NotAllowed("places_free", "There is a free time for you: book it instead of waiting.")


# ── offering ──────────────────────────────────────────────────────────────────────────────────────────


async def offer_time(
    tx: Tx,
    opening: OpenedTime,
    *,
    most: int = WAITING_AT_ONCE,
    fees: FeeRates = NO_FEES,
    is_late: Callable[[], bool] = lambda: False,
) -> bool:
    """To those whom the time fits that came free, in their order, until it is taken. False: some are left, after `most`
    or because it was late.

    One statement, and three for each who may fit; more for each offer.
    """
    freed = opening.subject_id, opening.from_at, opening.to_at
    is_person, entry_ids = await waiting_for_time(tx, opening.organization_id, *freed, limit=most)
    reach = TimeWindow(opening.from_at - LONGEST_SERVICE, opening.to_at)
    for entry_id in entry_ids:
        if is_late():
            return False
        is_offered = await offer_to_entry(
            tx, entry_id, reach=reach, provider_id=opening.subject_id if is_person else None, fees=fees
        )
        if is_offered and entry_id != entry_ids[-1] and await is_all_taken(tx, *freed):
            return True
    return len(entry_ids) < most


async def offer_to_entry(
    tx: Tx,
    entry_id: UUID,
    *,
    reach: TimeWindow | None = None,
    provider_id: UUID | None = None,
    fees: FeeRates = NO_FEES,
) -> bool:
    """The first free start that fits, held for this entry if it still waits; `reach`, `provider_id`: only there."""
    entry = await get_entry(tx, entry_id)
    if entry.status != WaitlistStatus.WAITING or entry.service_id is None:
        return False
    present = await present_of(tx, entry.organization_id)
    now = present.now
    bounds = TimeWindow(now, now + timedelta(days=3_650)) if reach is None else reach
    windows = within(entry_windows(entry), TimeWindow(max(now, bounds.from_at), bounds.to_at))
    if not windows:
        return False
    people: tuple[UUID, ...] | None = (provider_id,) if provider_id is not None else None
    if people is None and entry.provider_ids is not None:
        people = tuple(entry.provider_ids)
    wanted = TimeWanted(entry.service_id, people, entry.duration_minutes, entry.party_size, tuple(windows))
    service = await _service_of(tx, wanted)
    if not service.offers or service.price_type is PriceType.CUSTOM:
        return False
    search = await _search(tx, service, wanted, now)
    for number, slot in enumerate(search.starts(windows, refused_by(entry))):
        # Locked only now that there is something to offer: who is offered nothing is free for others who free time.
        if number >= TRIES or (number == 0 and await lock_waiting(tx, entry_id) is None):
            break
        if await _hold_for(tx, entry, search, slot, present=present, fees=fees):
            return True
    return False


async def _hold_for(
    tx: Tx, entry: WaitlistEntry, search: _Search, slot: Slot, *, present: Present, fees: FeeRates
) -> bool:
    """Somebody may be faster than we look, or a bulk change clears it away: then the next start is tried."""
    minutes = round((slot.ends_at - slot.starts_at).total_seconds() / 60)
    now = search.rules.now
    for plan in search.plans:
        if plan.provider_id not in slot.provider_ids or plan.duration_minutes != minutes:
            continue
        if present.is_cleared(plan.provider_id, slot.starts_at):
            continue
        part = Part(plan, slot.starts_at)
        held = [HeldPart(part, search.service)]
        quote = await price_of_parts(tx, held, now=now, fees=fees, is_member=entry.user_id is not None)
        hold = new_hold(entry.organization_id, quote, held, entry.party_size, user_id=entry.user_id)
        row = await claim_hold(tx, hold, [part], ttl=slot.starts_at - now, user_limit=0, address_limit=0)
        if row.outcome == "held":
            await tx.execute(_PUT, {"entry": entry.id, "hold": hold.id})
            return True
    return False


def entry_windows(entry: WaitlistEntry) -> list[TimeWindow]:
    """When it may start, in order."""
    return _bounded(entry.windows)


def refused_by(entry: WaitlistEntry) -> list[TimeWindow]:
    """What was offered and not accepted."""
    return _bounded(entry.refused)


def _bounded(ranges: Sequence[Range[datetime]]) -> list[TimeWindow]:
    return [TimeWindow(one.lower, one.upper) for one in ranges if one.lower is not None and one.upper is not None]
