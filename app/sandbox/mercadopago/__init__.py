"""A local MercadoPago, below `/mercadopago` of the sandbox: its REST API for payments, as far as Turnero uses it.

Made from the public documentation for Argentina (site MLA). It shares the store, the faults, the deliveries and the
pages with the local Stripe; what it does not share, it keeps under an account of its own.
"""

ACCOUNT = "mercadopago"
PREFIX = "/mercadopago"
COLLECTOR = 1_165_071_449
"""The seller that the money goes to."""
