"""What is known of a payment intent as JSON, as a payment's row keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.domain.payment import DisputePhase, IntentPhase, RefundPhase, SeenDispute, SeenIntent, SeenRefund


def intent_to_json(seen: SeenIntent) -> dict[str, Any]:
    """`{"id": "pi_1", "seenAt": "…", "phase": "succeeded", "amountMinor": 1000, …, "refunds": [["re_1", 500, "…"]]}`"""
    return {
        "id": seen.id,
        "seenAt": seen.seen_at.isoformat(),
        "phase": seen.phase.value,
        "amountMinor": seen.amount_minor,
        "capturedMinor": seen.captured_minor,
        "declineCode": seen.decline_code,
        "refunds": [[one.id, one.amount_minor, one.phase.value] for one in seen.refunds],
        "disputes": [[one.id, one.amount_minor, one.phase.value] for one in seen.disputes],
    }


def intent_from_json(value: Mapping[str, Any]) -> SeenIntent:
    """What `intent_to_json` wrote."""
    return SeenIntent(
        id=value["id"],
        seen_at=datetime.fromisoformat(value["seenAt"]),
        phase=IntentPhase(value["phase"]),
        amount_minor=value["amountMinor"],
        captured_minor=value["capturedMinor"],
        decline_code=value["declineCode"],
        refunds=tuple(SeenRefund(name, amount, RefundPhase(phase)) for name, amount, phase in value["refunds"]),
        disputes=tuple(SeenDispute(name, amount, DisputePhase(phase)) for name, amount, phase in value["disputes"]),
    )
