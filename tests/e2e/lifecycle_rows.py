"""What the database has of one shop's bookings, read past all of the product's own code."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from app.domain.booking import OCCUPYING
from tests.e2e.lifecycle_template import Ground

Row = dict[str, Any]
LIVE = frozenset({"held", "booked"})

_STATE = """
SELECT jsonb_build_object(
    'bookings', (SELECT jsonb_object_agg(b.id, to_jsonb(b)) FROM booking b WHERE b.id > $2 AND b.organization_id = $1),
    'holds', (SELECT jsonb_object_agg(h.id, to_jsonb(h)) FROM hold h WHERE h.id > $2 AND h.organization_id = $1),
    'items', (SELECT jsonb_agg(to_jsonb(i) ORDER BY i.booking_id, i.position) FROM booking_item i
              WHERE i.id > $2 AND i.organization_id = $1),
    'allocations', (SELECT jsonb_agg(to_jsonb(a) || jsonb_build_object('from', lower(a.busy), 'to', upper(a.busy))
                                     ORDER BY a.id)
                    FROM allocation a WHERE a.subject_id = ANY ($3)),
    'claims', (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM place_claim c
               WHERE c.id > $2 AND c.organization_id = $1),
    'sessions', (SELECT jsonb_object_agg(s.id, to_jsonb(s)) FROM activity_session s WHERE s.activity_id = ANY ($4)),
    'payments', (SELECT jsonb_agg(to_jsonb(p) - 'seen') FROM payment p WHERE p.id > $2 AND p.organization_id = $1),
    'participants', (SELECT jsonb_agg(to_jsonb(p) ORDER BY p.booking_id, p.position) FROM booking_participant p
                     WHERE p.id > $2 AND p.organization_id = $1),
    'waiting', (SELECT jsonb_object_agg(e.id, to_jsonb(e) || jsonb_build_object(
                    'windows_list', (SELECT jsonb_agg(jsonb_build_array(lower(w), upper(w))) FROM unnest(e.windows) w),
                    'refused_list', (SELECT COALESCE(jsonb_agg(jsonb_build_array(lower(w), upper(w))), '[]')
                                     FROM unnest(e.refused) w)))
                FROM waitlist_entry e WHERE e.id > $2 AND e.organization_id = $1),
    'emptied', (SELECT jsonb_agg(s.id) FROM activity_session s JOIN activity a ON a.id = s.activity_id
                JOIN bulk_change b ON b.organization_id = s.organization_id AND b.status = 'running'
                    AND b.action = 'cancel' AND (b.activity_id = a.id OR b.venue_id = a.venue_id)
                    AND s.starts_at >= b.starts_from AND s.starts_at < b.starts_before
                WHERE s.activity_id = ANY ($4)),
    'activities', (SELECT jsonb_object_agg(a.id, a.is_active AND a.sessions_follow) FROM activity a
                   WHERE a.id = ANY ($4)),
    'refunds', (SELECT jsonb_agg(to_jsonb(r)) FROM refund r WHERE r.id > $2 AND r.organization_id = $1)
)::text
"""
_JOURNALS = """
SELECT jsonb_build_object(
    'audit', (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.id) FROM audit_entry a
              WHERE a.id > $2 AND a.organization_id = $1 AND a.action LIKE 'booking.%'),
    'transitions', (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.id) FROM booking_transition t
                    WHERE t.id > $3 AND t.organization_id = $1),
    'events', (SELECT jsonb_agg(jsonb_build_object('id', e.id, 'type', e.type, 'subject_id', e.subject_id,
                                                   'payload', e.payload) ORDER BY e.id)
               FROM outbox_event e WHERE e.id > $4 AND e.organization_id = $1)
)::text
"""
_SUBJECTS = """
SELECT array_agg(id) FROM (SELECT id FROM provider WHERE organization_id = $1
                           UNION ALL SELECT id FROM resource_unit WHERE organization_id = $1) AS subject
"""


def instant(value: str) -> datetime:
    return datetime.fromisoformat(value)


@dataclass(slots=True)
class Journals:
    """All that was ever written of the shop's bookings, in its order."""

    audit: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    transitions: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    """By subject, whatever that is."""


@dataclass(frozen=True, slots=True)
class Rows:
    """`items`, `payments`, `refunds`, `participants` by booking; `waiting`: entries of the waitlist; `activities`: can
    they be booked? `emptied`: sessions that a bulk change is just calling off, whose places are nobody's."""

    now: datetime
    bookings: dict[str, Row]
    holds: dict[str, Row]
    items: dict[str, list[Row]]
    allocations: list[Row]
    claims: list[Row]
    sessions: dict[str, Row]
    payments: dict[str, list[Row]]
    refunds: dict[str, list[Row]]
    participants: dict[str, list[Row]]
    waiting: dict[str, Row]
    activities: dict[str, bool]
    journals: Journals
    emptied: frozenset[str] = frozenset()

    @property
    def occupying(self) -> list[Row]:
        return [one for one in self.bookings.values() if one["status"] in OCCUPYING]


@dataclass(slots=True)
class Reader:
    """Of one shop. What was written once is read once."""

    raw: asyncpg.Connection
    ground: Ground
    journals: Journals = field(default_factory=Journals)
    _last: dict[str, int] = field(default_factory=dict)
    _subjects: list[Any] = field(default_factory=list)

    async def read(self, now: datetime) -> Rows:
        ground = self.ground
        if not self._subjects:
            self._subjects = await self.raw.fetchval(_SUBJECTS, ground.organization)
            self._last = {
                "audit": ground.last_audit,
                "transitions": ground.last_transition,
                "events": ground.last_event,
            }
        state = msgspec.json.decode(
            await self.raw.fetchval(
                _STATE, ground.organization, ground.first_id, self._subjects, list(ground.activities)
            )
        )
        await self._follow()
        return Rows(
            now=now,
            bookings=state["bookings"] or {},
            holds=state["holds"] or {},
            items=_by(state["items"], "booking_id"),
            allocations=state["allocations"] or [],
            claims=state["claims"] or [],
            sessions=state["sessions"] or {},
            payments=_by(state["payments"], "booking_id"),
            refunds=_by(state["refunds"], "booking_id"),
            participants=_by(state["participants"], "booking_id"),
            waiting=state["waiting"] or {},
            activities=state["activities"],
            journals=self.journals,
            emptied=frozenset(state["emptied"] or ()),
        )

    async def _follow(self) -> None:
        last = self._last
        found = msgspec.json.decode(
            await self.raw.fetchval(
                _JOURNALS, self.ground.organization, last["audit"], last["transitions"], last["events"]
            )
        )
        for kind, key in (("audit", "subject_id"), ("transitions", "booking_id"), ("events", "subject_id")):
            kept: dict[str, list[Row]] = getattr(self.journals, kind)
            for row in found[kind] or []:
                kept[row[key]].append(row)
                last[kind] = row["id"]


def _by(rows: list[Row] | None, key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows or []:
        found[row[key]].append(row)
    return found
