"""What providers are searched by, and when their offers are free. Triggers and the worker write these rows."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from app.models.base import Base, OfOrganization


class Cube(UserDefinedType[str]):
    """A point in space, of the extension `cube`. Compared inside SQL only."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "cube"


class ProviderSearch(OfOrganization, Base):
    """`rating`: -1 without one. `languages`: each tag with its prefixes. `position`: in kilometres from the centre."""

    __tablename__ = "provider_search"
    __table_args__ = (
        Index("provider_search_name_idx", "organization_id", "name", "provider_id"),
        Index("provider_search_created_idx", "organization_id", "created_at", "provider_id"),
        Index("provider_search_rating_idx", "organization_id", "rating", "provider_id"),
        Index("provider_search_venue_idx", "venue_id"),
        Index("provider_search_words_idx", "organization_id", "words", "languages", postgresql_using="gin"),
        Index("provider_search_position_idx", "organization_id", "position", postgresql_using="gist"),
    )

    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    venue_id: Mapped[UUID]
    is_active: Mapped[bool]
    is_visible: Mapped[bool]
    name: Mapped[str] = mapped_column(Text(collation="C"))
    words: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    rating: Mapped[float] = mapped_column(Float(53))
    created_at: Mapped[datetime]
    position: Mapped[str | None] = mapped_column(Cube)


class ProviderPrice(OfOrganization, Base):
    """The lowest price of what a provider offers, in both columns. Without one: last in either order."""

    __tablename__ = "provider_price"
    __table_args__ = (
        Index("provider_price_rising_idx", "organization_id", "rising_minor", "provider_id"),
        Index("provider_price_falling_idx", "organization_id", "falling_minor", "provider_id"),
    )

    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    rising_minor: Mapped[int] = mapped_column(BigInteger)
    falling_minor: Mapped[int] = mapped_column(BigInteger)


class ServiceSearch(OfOrganization, Base):
    __tablename__ = "service_search"
    __table_args__ = (Index("service_search_organization_idx", "organization_id"),)

    service_id: Mapped[UUID] = mapped_column(ForeignKey("service.id"), primary_key=True)
    category: Mapped[str]
    words: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")


class SearchWord(Base):
    """Every word that was ever among those of an organization's providers and services."""

    __tablename__ = "search_word"
    __table_args__ = (
        Index(
            "search_word_like_idx",
            "organization_id",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organization.id"), primary_key=True)
    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)


class OfferOutlook(OfOrganization, Base):
    """When an offer is free, as far as `covered_to`: starts firsts[i], then every steps[i] minutes until lasts[i].

    Minutes and `days` (of UTC, with a start) count from 1970. To be believed until `known_until`, and as far as no
    event came after the position of OutlookState. `marks` counts how often it was overtaken.
    """

    __tablename__ = "offer_outlook"
    __table_args__ = (
        ForeignKeyConstraint(
            ["provider_id", "service_id"], ["offer.provider_id", "offer.service_id"], name="offer_outlook_offer_fkey"
        ),
        Index("offer_outlook_service_idx", "service_id"),
        Index("offer_outlook_days_idx", "organization_id", "days", postgresql_using="gin"),
        Index("offer_outlook_known_idx", "known_until", "organization_id"),
        Index("offer_outlook_covered_idx", "covered_to", "organization_id"),
    )

    provider_id: Mapped[UUID] = mapped_column(primary_key=True)
    service_id: Mapped[UUID] = mapped_column(primary_key=True)
    known_until: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))
    covered_to: Mapped[int] = mapped_column(server_default="0")
    marks: Mapped[int] = mapped_column(server_default="0")
    notice_minutes: Mapped[int] = mapped_column(server_default="0")
    horizon_days: Mapped[int] = mapped_column(server_default="0")
    duration_minutes: Mapped[int] = mapped_column(server_default="0")
    longest_minutes: Mapped[int] = mapped_column(server_default="0")
    largest_party: Mapped[int] = mapped_column(server_default="0")
    days: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")
    firsts: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")
    lasts: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")
    steps: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")


class OutlookState(Base):
    """One row. Events up to `position` are in the outlooks; `rules`: versions of what these were made with."""

    __tablename__ = "outlook_state"
    __table_args__ = (CheckConstraint("id", name="single_row"),)

    id: Mapped[bool] = mapped_column(primary_key=True, server_default="true")
    position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rules: Mapped[str] = mapped_column(server_default="")
