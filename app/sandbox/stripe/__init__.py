"""The local Stripe: one module for each kind of object, and the HTTP around them.

`http` takes a request, checks key, version and idempotency key, and finds the handler in `routes`. A handler gets a
`Work` (one transaction of the `store`) and its `Params`, and answers with an object or raises a `Refusal`. Events are
written in the same transaction; `background` delivers them and runs what is due later. `pages` and `control` are for
people and tests.
"""

API_VERSION = "2026-10-28.endive"
"""The one version spoken: that of the `stripe` package that the product uses."""
