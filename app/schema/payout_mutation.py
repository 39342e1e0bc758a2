"""Accounts of providers, and payouts that a person looks after."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app.core.ids import IdKind
from app.resolvers import onboarding
from app.resolvers import payout as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import read_id
from app.schema.info import Ctx, given
from app.schema.payout import Payout, PayoutAccount


@strawberry.input
class StartProviderOnboardingInput:
    provider_id: strawberry.ID
    country: str | None = strawberry.field(default=None, description="ISO 3166. None: the organization's.")
    email: str | None = strawberry.field(default=None, description="Shown to its owner in the processor's form.")
    idempotency_key: str | None = None


@strawberry.type
class StartProviderOnboardingPayload:
    account: PayoutAccount
    url: str = strawberry.field(description="The processor's page, for the account's owner alone; used once.")
    expires_at: datetime


@strawberry.input
class RefreshPayoutAccountInput:
    provider_id: strawberry.ID


@strawberry.type
class RefreshPayoutAccountPayload:
    account: PayoutAccount


@strawberry.input
class HoldPayoutsInput:
    provider_id: strawberry.ID
    reason: str
    idempotency_key: str | None = None


@strawberry.type
class HoldPayoutsPayload:
    account: PayoutAccount


@strawberry.input
class ResumePayoutsInput:
    provider_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class ResumePayoutsPayload:
    account: PayoutAccount


@strawberry.input
class RetryPayoutInput:
    payout_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class RetryPayoutPayload:
    payout: Payout


@strawberry.input
class CancelPayoutInput:
    payout_id: strawberry.ID
    reason: str
    idempotency_key: str | None = None


@strawberry.type
class CancelPayoutPayload:
    payout: Payout


StartProviderOnboardingResult = Annotated[
    StartProviderOnboardingPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("StartProviderOnboardingResult"),
]
RefreshPayoutAccountResult = Annotated[
    RefreshPayoutAccountPayload | NotFound | NotAllowed, strawberry.union("RefreshPayoutAccountResult")
]
HoldPayoutsResult = Annotated[
    HoldPayoutsPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("HoldPayoutsResult"),
]
ResumePayoutsResult = Annotated[
    ResumePayoutsPayload | NotFound | NotAllowed | IdempotencyConflict, strawberry.union("ResumePayoutsResult")
]
RetryPayoutResult = Annotated[
    RetryPayoutPayload | NotFound | NotAllowed | IdempotencyConflict, strawberry.union("RetryPayoutResult")
]
CancelPayoutResult = Annotated[
    CancelPayoutPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CancelPayoutResult"),
]


@strawberry.type
class PayoutMutation:
    @strawberry.mutation(
        description="Open a provider's account at the processor, or go on with it: the page where its owner fills in "
        "the rest. For the provider, admins and owners."
    )
    async def start_provider_onboarding(
        self, info: Ctx, input: StartProviderOnboardingInput
    ) -> StartProviderOnboardingResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        values = given(input, without={"provider_id"})
        account, link = await onboarding.start_onboarding(info.context, provider_id, values, input.idempotency_key)
        shown = PayoutAccount.from_model(account)
        return StartProviderOnboardingPayload(account=shown, url=link.url, expires_at=link.expires_at)

    @strawberry.mutation(description="Its owner came back from the processor's page: ask the processor now.")
    async def refresh_payout_account(self, info: Ctx, input: RefreshPayoutAccountInput) -> RefreshPayoutAccountResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        account = await onboarding.refresh_account(info.context, provider_id)
        return RefreshPayoutAccountPayload(account=PayoutAccount.from_model(account))

    @strawberry.mutation(description="Send nothing more to a provider until it is resumed. For admins and owners.")
    async def hold_payouts(self, info: Ctx, input: HoldPayoutsInput) -> HoldPayoutsResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        values = given(input, without={"provider_id"})
        account = await resolvers.hold_payouts(info.context, provider_id, values, input.idempotency_key)
        return HoldPayoutsPayload(account=PayoutAccount.from_model(account))

    @strawberry.mutation(description="What is due goes out again. For admins and owners.")
    async def resume_payouts(self, info: Ctx, input: ResumePayoutsInput) -> ResumePayoutsResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        account = await resolvers.resume_payouts(info.context, provider_id, input.idempotency_key)
        return ResumePayoutsPayload(account=PayoutAccount.from_model(account))

    @strawberry.mutation(description="Try a payout that needs attention again; it is never sent twice.")
    async def retry_payout(self, info: Ctx, input: RetryPayoutInput) -> RetryPayoutResult:
        payout_id = read_id(IdKind.PAYOUT, input.payout_id, "input.payoutId")
        payout = await resolvers.retry_payout(info.context, payout_id, input.idempotency_key)
        return RetryPayoutPayload(payout=Payout.from_model(payout))

    @strawberry.mutation(description="Call off a payout of which nothing was sent: what was set aside is owed again.")
    async def cancel_payout(self, info: Ctx, input: CancelPayoutInput) -> CancelPayoutResult:
        payout_id = read_id(IdKind.PAYOUT, input.payout_id, "input.payoutId")
        values = given(input, without={"payout_id"})
        payout = await resolvers.cancel_payout(info.context, payout_id, values, input.idempotency_key)
        return CancelPayoutPayload(payout=Payout.from_model(payout))
