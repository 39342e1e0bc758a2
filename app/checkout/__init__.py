"""Processes that talk to payment processors: read → call → command. Each step is a transaction of its own or none.

Nothing is called inside a transaction; every call has a key that was committed before; an answer that was lost is asked
for again with the same key. Requests and jobs use the same functions, so that either finishes what the other began.
"""
