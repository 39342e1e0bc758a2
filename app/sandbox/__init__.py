"""Stand-ins for payment processors, run on a developer's machine and in tests.

`turnero sandbox` serves the local Stripe: the wire format, the test cards, the signed webhooks and the failures of the
real one, with money that does not exist. The product reaches it by address alone and knows nothing of this package.
"""
