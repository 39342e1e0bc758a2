"""The inbox of processors' events."""

from __future__ import annotations

from sqlalchemy import Boolean, Text, bindparam, func, text, update
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.gateway import ProcessorEvent
from app.models import ProcessorEvent as StoredEvent

_STORE = text(
    "SELECT store_processor_event(:processor, :event, :type, :kind, :object, :account, :is_live, :happened, :outcome)"
).bindparams(
    bindparam("account", type_=Text),
    bindparam("outcome", type_=Text),
    bindparam("is_live", type_=Boolean),
    bindparam("happened", type_=TIMESTAMP(timezone=True)),
)


async def store_event(tx: Tx, processor: str, event: ProcessorEvent, outcome: str | None) -> bool:
    """Keep it once, with the job that it means; `outcome`: decided already, no job. Was it new? One statement."""
    is_new: bool = (
        await tx.execute(
            _STORE,
            {
                "processor": processor,
                "event": event.event_id,
                "type": event.type,
                "kind": event.object_kind.value,
                "object": event.object_id,
                "account": event.account,
                "is_live": event.is_live,
                "happened": event.created_at,
                "outcome": outcome,
            },
        )
    ).scalar_one()
    return is_new


async def note_processed(tx: Tx, processor: str, event_id: str, outcome: str) -> None:
    """One statement."""
    await tx.execute(
        update(StoredEvent)
        .where(StoredEvent.processor == processor, StoredEvent.event_id == event_id)
        .values(processed_at=func.turnero_now(), outcome=outcome)
        .execution_options(synchronize_session=False)
    )
