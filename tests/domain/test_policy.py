"""Who may do what to a booking, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.booking import TRANSITIONS, BookingStatus
from app.domain.errors import IllegalTransition, NotAllowed
from app.domain.instants import zone
from app.domain.policy import (
    ActorKind,
    BookingFacts,
    CancellationTerms,
    allowed_transitions,
    broken_rule,
    cancellable_until,
    cancellable_until_after_move,
    cancellation_terms,
    check_reschedule,
    check_transition,
    needs_new_approval,
    reschedulable_until,
    reschedules_left,
)
from tests.domain.permission_matrix import FILE, STARTS_AT, facts, render

S = BookingStatus
BEFORE_NOTICE = STARTS_AT - timedelta(hours=24)


def test_the_committed_matrix_is_what_the_rules_say() -> None:
    committed = FILE.read_text(encoding="utf-8")
    assert render() == committed, "the rules changed: run `python -m tests.domain.permission_matrix`, review the diff"


def test_a_customer_cancels_until_the_very_last_instant_of_the_notice() -> None:
    check_transition(facts(S.CONFIRMED), ActorKind.CUSTOMER, S.CANCELLED, BEFORE_NOTICE)
    with pytest.raises(NotAllowed) as refusal:
        check_transition(facts(S.CONFIRMED), ActorKind.CUSTOMER, S.CANCELLED, BEFORE_NOTICE + timedelta(microseconds=1))
    assert refusal.value.rule == "cancellation_notice"
    assert "2026-03-03 15:00 (America/Argentina/Buenos_Aires)" in refusal.value.message
    assert (refusal.value.allowed_from, refusal.value.allowed_until) == (None, BEFORE_NOTICE)


def test_check_in_opens_at_local_midnight_of_the_service_day() -> None:
    midnight = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
    check_transition(facts(S.CONFIRMED), ActorKind.STAFF, S.CHECKED_IN, midnight)
    with pytest.raises(NotAllowed) as refusal:
        check_transition(facts(S.CONFIRMED), ActorKind.STAFF, S.CHECKED_IN, midnight - timedelta(seconds=1))
    assert refusal.value.rule == "service_day"
    assert "from 2026-03-04 00:00" in refusal.value.message
    assert (refusal.value.allowed_from, refusal.value.allowed_until) == (midnight, None)


def test_the_service_day_ends_at_local_midnight_after_the_end() -> None:
    night = replace(facts(S.CONFIRMED), ends_at=datetime(2026, 3, 5, 4, 0, tzinfo=UTC))  # 01:00 of the next day
    last = datetime(2026, 3, 6, 3, 0, tzinfo=UTC)
    check_transition(night, ActorKind.PROVIDER, S.COMPLETED, last - timedelta(seconds=1))
    with pytest.raises(NotAllowed) as refusal:
        check_transition(night, ActorKind.PROVIDER, S.COMPLETED, last)
    assert refusal.value.rule == "service_day_over"
    assert refusal.value.allowed_until == last
    check_transition(night, ActorKind.ADMIN, S.COMPLETED, last)


def test_a_step_outside_the_table_tells_the_steps_there_are() -> None:
    with pytest.raises(IllegalTransition) as refusal:
        check_transition(facts(S.CANCELLED), ActorKind.STAFF, S.CONFIRMED, STARTS_AT)
    assert refusal.value.current is S.CANCELLED
    assert refusal.value.allowed == ()
    with pytest.raises(IllegalTransition) as refusal:
        check_transition(facts(S.CONFIRMED), ActorKind.STAFF, S.CONFIRMED, STARTS_AT)
    assert refusal.value.allowed == (S.CHECKED_IN, S.IN_PROGRESS, S.COMPLETED, S.CANCELLED, S.NO_SHOW)


@given(
    st.sampled_from(list(BookingStatus)),
    st.sampled_from(list(ActorKind)),
    st.integers(-10_000, 10_000).map(lambda minutes: STARTS_AT + timedelta(minutes=minutes)),
)
def test_allowed_is_what_check_lets_pass(status: BookingStatus, actor: ActorKind, now: datetime) -> None:
    allowed = allowed_transitions(facts(status), actor, now)
    for to in BookingStatus:
        if to in allowed:
            check_transition(facts(status), actor, to, now)
            continue
        with pytest.raises((NotAllowed, IllegalTransition)):
            check_transition(facts(status), actor, to, now)


def test_more_rights_never_allow_less() -> None:
    times = [STARTS_AT + timedelta(hours=h) for h in range(-60, 60, 3)]
    for status, targets in TRANSITIONS.items():
        for to in targets:
            for now in times:
                ranks = [
                    broken_rule(facts(status), actor, to, now) is None
                    for actor in (ActorKind.PROVIDER, ActorKind.STAFF, ActorKind.ADMIN, ActorKind.OWNER)
                ]
                assert ranks == sorted(ranks)


def test_moving() -> None:
    check_reschedule(facts(S.CONFIRMED), ActorKind.CUSTOMER, BEFORE_NOTICE)
    with pytest.raises(NotAllowed) as refusal:
        check_reschedule(facts(S.CONFIRMED), ActorKind.CUSTOMER, STARTS_AT)
    assert refusal.value.rule == "cancellation_notice"
    with pytest.raises(NotAllowed) as refusal:
        check_reschedule(facts(S.CHECKED_IN), ActorKind.OWNER, STARTS_AT)
    assert refusal.value.rule == "not_movable"
    check_reschedule(facts(S.CONFIRMED), ActorKind.STAFF, STARTS_AT)


@given(
    st.sampled_from([status for status, steps in TRANSITIONS.items() if steps]),
    st.sampled_from(list(ActorKind)),
    st.integers(-10_000, 10_000).map(lambda minutes: STARTS_AT + timedelta(minutes=minutes)),
    st.data(),
)
def test_what_a_refusal_says_about_time_is_true(
    status: BookingStatus, actor: ActorKind, now: datetime, data: st.DataObject
) -> None:
    """At the instant it names the step was, or will be, allowed."""
    booked = replace(facts(status), answer_until=STARTS_AT - timedelta(hours=1), no_show_at=STARTS_AT)
    to = data.draw(st.sampled_from(sorted(TRANSITIONS[status])))
    broken = broken_rule(booked, actor, to, now)
    if broken is None:
        return
    if broken.allowed_from is not None:
        assert now < broken.allowed_from
        assert broken_rule(booked, actor, to, broken.allowed_from) is None
    if broken.allowed_until is not None:
        assert now >= broken.allowed_until
        earlier = broken_rule(booked, actor, to, broken.allowed_until - timedelta(microseconds=1))
        assert earlier is None or earlier.rule != broken.rule


def test_how_often_and_until_when_a_customer_moves() -> None:
    booked = facts(S.CONFIRMED)
    assert (reschedules_left(booked), reschedulable_until(booked, BEFORE_NOTICE)) == (None, BEFORE_NOTICE)
    assert reschedulable_until(booked, STARTS_AT) is None
    own = replace(booked, reschedule_notice_minutes=60, maximum_reschedules=1)
    assert reschedulable_until(own, BEFORE_NOTICE) == STARTS_AT - timedelta(hours=1)
    with pytest.raises(NotAllowed) as refusal:
        check_reschedule(own, ActorKind.CUSTOMER, STARTS_AT)
    assert refusal.value.rule == "reschedule_notice"
    assert refusal.value.allowed_until == STARTS_AT - timedelta(hours=1)
    used = replace(own, reschedules=1)
    assert (reschedules_left(used), reschedulable_until(used, BEFORE_NOTICE)) == (0, None)
    with pytest.raises(NotAllowed) as refusal:
        check_reschedule(used, ActorKind.CUSTOMER, BEFORE_NOTICE)
    assert (refusal.value.rule, refusal.value.allowed_until) == ("reschedule_limit", None)
    check_reschedule(used, ActorKind.STAFF, BEFORE_NOTICE)


def test_a_lost_notice_stays_lost_after_a_move() -> None:
    old_until = cancellable_until(STARTS_AT, 1_440)
    far = STARTS_AT + timedelta(days=30)
    assert cancellable_until_after_move(old_until, far, 1_440, old_until) == far - timedelta(days=1)
    late = old_until + timedelta(seconds=1)
    assert cancellable_until_after_move(old_until, far, 1_440, late) == old_until


def test_only_a_customers_move_needs_approval_again() -> None:
    asked = replace(facts(S.CONFIRMED), requires_approval=True)
    assert needs_new_approval(asked, ActorKind.CUSTOMER)
    assert not needs_new_approval(asked, ActorKind.STAFF)
    assert not needs_new_approval(replace(asked, requires_approval=False), ActorKind.CUSTOMER)
    assert not needs_new_approval(replace(asked, status=S.AWAITING_PROVIDER), ActorKind.CUSTOMER)


def test_terms() -> None:
    booked = BookingFacts(S.CONFIRMED, STARTS_AT, STARTS_AT + timedelta(hours=1), zone("UTC"), BEFORE_NOTICE)
    assert cancellation_terms(booked, 0, BEFORE_NOTICE) == CancellationTerms(0, 0, BEFORE_NOTICE)
    assert cancellation_terms(booked, 0, STARTS_AT) == CancellationTerms(0, 0, None)
    assert cancellation_terms(booked, 5_000, BEFORE_NOTICE) == CancellationTerms(5_000, 0, BEFORE_NOTICE)
    assert cancellation_terms(booked, 5_000, STARTS_AT) == CancellationTerms(0, 5_000, None)
    done = replace(booked, status=S.COMPLETED)
    assert cancellation_terms(done, 5_000, BEFORE_NOTICE) == CancellationTerms(0, 0, None)
