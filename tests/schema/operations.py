"""The operations that tests send, each once."""

SLOT = "startsAt endsAt providerIds remaining price { amountMinor currency amount }"
BOOKING = """
  id number confirmationCode status version startsAt endsAt timeZone partySize paymentStatus paymentMethod expiresAt
  price { amountMinor currency } allowedTransitions calendarUrl createdAt
  cancellationTerms { refund { amountMinor } fee { amountMinor } freeUntil }
"""
ERRORS = """
  ... on Error { code message }
  ... on InvalidInput { violations { path message } }
"""

AVAILABILITY = f"""
query ($input: AvailabilityInput!) {{
  availability(input: $input) {{
    timeZone cursor days {{ date starts slots {{ {SLOT} }} }} nextAvailable {{ {SLOT} }}
  }}
}}
"""

HOLD = f"""
mutation ($input: HoldSlotInput!) {{
  holdSlot(input: $input) {{
    __typename
    ... on HoldSlotPayload {{
      holdToken
      hold {{ id status startsAt endsAt expiresAt partySize price {{ amountMinor currency }} provider {{ id name }} }}
    }}
    ... on SlotUnavailable {{ reason alternatives {{ {SLOT} }} }}
    ... on RateLimited {{ retryAfterSeconds }}
    {ERRORS}
  }}
}}
"""

RELEASE = """
mutation ($id: ID!, $token: String!) {
  releaseHold(holdId: $id, holdToken: $token) {
    __typename ... on Hold { id status } ... on Error { code message } ... on HoldExpired { alternatives { startsAt } }
  }
}
"""

EXTEND = """
mutation ($id: ID!, $token: String!) {
  extendHold(holdId: $id, holdToken: $token) {
    __typename ... on Hold { id status expiresAt } ... on Error { code message } ... on NotAllowed { rule }
    ... on HoldExpired { alternatives { startsAt } }
  }
}
"""

BOOK = f"""
mutation ($input: CreateBookingInput!) {{
  createBooking(input: $input) {{
    __typename
    ... on CreateBookingPayload {{ accessToken payment {{ id }} booking {{ {BOOKING}
      provider {{ id name }} service {{ id name }} customer {{ id name email phone }}
      items {{ startsAt endsAt price {{ amountMinor }} }} transitions {{ from to actor }} }} }}
    ... on HoldExpired {{ alternatives {{ startsAt }} }}
    ... on NotAllowed {{ rule }}
    {ERRORS}
  }}
}}
"""

_CHANGED = f"""
    __typename
    ... on Booking {{ {BOOKING} provider {{ id }} }}
    ... on StaleVersion {{ currentVersion }}
    ... on IllegalTransition {{ from to allowed }}
    ... on NotAllowed {{ rule }}
    ... on SlotUnavailable {{ reason alternatives {{ startsAt }} }}
    {ERRORS}
"""

CANCEL = f"mutation ($input: CancelBookingInput!) {{ cancelBooking(input: $input) {{ {_CHANGED} }} }}"
MOVE = f"mutation ($input: RescheduleBookingInput!) {{ rescheduleBooking(input: $input) {{ {_CHANGED} }} }}"
STEP = f"mutation ($input: TransitionBookingInput!) {{ transitionBooking(input: $input) {{ {_CHANGED} }} }}"

READ = f"""
query ($id: ID, $token: String) {{
  booking(id: $id, accessToken: $token) {{ {BOOKING}
    transitions {{ from to reason actor channel at }} provider {{ id name }}
    customer {{ name email phone }} service {{ name }} items {{ startsAt endsAt provider {{ id }} service {{ id }} }}
  }}
}}
"""

PUBLISH = f"""
mutation ($input: PublishScheduleInput!) {{
  publishSchedule(input: $input) {{
    __typename
    ... on PublishSchedulePayload {{
      schedule {{ id number effectiveFrom effectiveTo slotIntervalMinutes }}
      affectedBookings {{ reason booking {{ id status startsAt }} alternatives {{ startsAt }} }}
    }}
    ... on NotAllowed {{ rule }}
    {ERRORS}
  }}
}}
"""

WATCH_AVAILABILITY = f"""
subscription ($input: AvailabilityInput!, $after: String) {{
  availability(input: $input, after: $after) {{ kind cursor opened closed causes updated {{ {SLOT} }} }}
}}
"""

WATCH_BOOKING = f"""
subscription ($id: ID!, $token: String, $after: String) {{
  booking(id: $id, accessToken: $token, after: $after) {{ kind cursor type booking {{ {BOOKING} }} }}
}}
"""
