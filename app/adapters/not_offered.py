"""What a processor without marketplace and without saved cards answers; its capabilities say so beforehand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from app.gateway import (
    AccountOrder,
    AccountSnapshot,
    Balance,
    CustomerOrder,
    GatewayRefused,
    OnboardingLink,
    RefundSnapshot,
    RefusalKind,
    ReversalOrder,
    ReversalSnapshot,
    SetupOrder,
    SetupSnapshot,
    TransferOrder,
    TransferSnapshot,
)


class NotOffered:
    """The parts of PaymentGateway that belong to SAVED_METHODS, LABELLED_REFUNDS, TRANSFERS, ACCOUNTS and BALANCE."""

    processor: str

    async def look_up_refund(self, processor_id: str, refund_id: UUID) -> RefundSnapshot | None:
        raise self._refusal(f"refund {refund_id} of {processor_id} to be found")

    async def create_customer(self, order: CustomerOrder) -> str:
        raise self._refusal(f"customer {order.reference}")

    async def start_setup(self, order: SetupOrder) -> SetupSnapshot:
        raise self._refusal(f"method to be saved for {order.booking_id}")

    async def find_setup(self, processor_id: str) -> SetupSnapshot | None:
        raise self._refusal(f"saved method {processor_id}")

    async def transfer(self, order: TransferOrder) -> TransferSnapshot:
        raise self._refusal(f"transfer {order.transfer_id}")

    async def reverse_transfer(self, order: ReversalOrder) -> ReversalSnapshot:
        raise self._refusal(f"transfer {order.processor_id}")

    async def find_transfer(self, processor_id: str) -> TransferSnapshot | None:
        raise self._refusal(f"transfer {processor_id}")

    async def look_up_transfers(self, transfer_group: str) -> tuple[TransferSnapshot, ...]:
        raise self._refusal(f"transfers of {transfer_group}")

    def list_transfers(self, since: datetime, until: datetime | None = None) -> AsyncIterator[TransferSnapshot]:
        raise self._refusal(f"transfers from {since} to {until}")

    async def create_account(self, order: AccountOrder) -> AccountSnapshot:
        raise self._refusal(f"account for {order.provider_id}")

    async def onboarding_link(self, account_id: str, *, return_url: str, refresh_url: str) -> OnboardingLink:
        raise self._refusal(f"account {account_id} with {return_url} and {refresh_url}")

    async def find_account(self, account_id: str) -> AccountSnapshot | None:
        raise self._refusal(f"account {account_id}")

    async def balance(self) -> tuple[Balance, ...]:
        raise self._refusal("balance")

    def _refusal(self, what: str) -> GatewayRefused:
        return GatewayRefused(f"{self.processor} offers no {what}.", "not_offered", RefusalKind.NOT_OFFERED)
