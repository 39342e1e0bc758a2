"""The domain's enums as GraphQL enums: the members' names are the public names."""

from __future__ import annotations

import strawberry

from app.domain import booking, live, pricing, series, slots

BookingStatus = strawberry.enum(booking.BookingStatus, description="What a booking can be.")
PaymentStatus = strawberry.enum(booking.PaymentStatus)
PaymentMethod = strawberry.enum(booking.PaymentMethod)
SeriesScope = strawberry.enum(
    series.SeriesScope, description="Which dates of a series: one, that and all after it, or all."
)
HoldStatus = strawberry.enum(booking.HoldStatus)
UnavailableReason = strawberry.enum(slots.UnavailableReason, description="Why a time cannot be had.")
PriceType = strawberry.enum(pricing.PriceType)
AvailabilityCause = strawberry.enum(live.AvailabilityCause, description="Why free slots changed.")
