"""Customers of the platform."""

from __future__ import annotations

from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.lists import list_objects, search_objects
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.payment_methods import attach_to, find_or_make
from app.sandbox.stripe.store import Page
from app.sandbox.stripe.work import Work, stamp

_TEXTS = ("description", "email", "name", "phone")


def create_customer(work: Work, params: Params) -> Json:
    customer = stamp(
        work,
        "customer",
        "cus",
        14,
        address=None,
        balance=0,
        currency=None,
        customer_account=None,
        default_source=None,
        delinquent=False,
        description=None,
        discount=None,
        email=None,
        invoice_prefix=None,
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata={},
        name=None,
        next_invoice_sequence=1,
        phone=None,
        preferred_locales=[],
        shipping=None,
        tax_exempt="none",
        test_clock=None,
    )
    customer["invoice_prefix"] = customer["id"][-8:].upper()
    method = params.text("payment_method")
    _read(work, customer, params)
    params.done()
    work.save(customer)
    if method:
        attach_to(work, find_or_make(work, method), customer["id"])
    emit(work, "customer.created", customer)
    return customer


def get_customer(work: Work, params: Params, customer_id: str) -> Json:
    params.done()
    customer = work.find("customer", customer_id)
    if customer is None and (gone := work.find("deleted_customer", customer_id)):
        return _deleted(gone["id"])
    return work.need("customer", customer_id) if customer is None else customer


def update_customer(work: Work, params: Params, customer_id: str) -> Json:
    customer = work.need("customer", customer_id)
    before = dict(customer)
    _read(work, customer, params)
    params.done()
    work.save(customer)
    emit(work, "customer.updated", customer, before)
    return customer


def delete_customer(work: Work, params: Params, customer_id: str) -> Json:
    params.done()
    customer = work.need("customer", customer_id)
    for method in work.store.page(work.account, "payment_method", Page(1_000, facts={"customer": customer_id})):
        method["customer"] = None
        work.save(method)
    work.store.remove(customer_id)
    work.save({"id": customer_id, "object": "deleted_customer", "created": customer["created"]})
    emit(work, "customer.deleted", customer)
    return _deleted(customer_id)


def list_customers(work: Work, params: Params) -> Json:
    email = params.text("email")
    return list_objects(work, params, "customer", {"email": email} if email else None)


def search_customers(work: Work, params: Params) -> Json:
    return search_objects(work, params, "customer")


def _read(work: Work, customer: Json, params: Params) -> None:
    customer["metadata"] = merge_metadata(customer["metadata"], params.metadata())
    assign(customer, params, *_TEXTS)
    for name in ("address", "shipping"):
        customer[name] = params.anything(name) or customer[name]
    customer["preferred_locales"] = params.strings("preferred_locales") or customer["preferred_locales"]
    invoices = params.section("invoice_settings")
    if invoices:
        default = work.named(invoices, "payment_method", "default_payment_method")
        customer["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": default}
    params.ignore("tax_exempt")


def _deleted(customer_id: str) -> Json:
    return {"id": customer_id, "object": "customer", "deleted": True}
