"""Webhook endpoints."""

from __future__ import annotations

from app.sandbox.settings import ConfiguredEndpoint
from app.sandbox.stripe import API_VERSION
from app.sandbox.stripe.errors import Json, Refusal, wrong_param
from app.sandbox.stripe.events import MOST_ENDPOINTS
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.store import PLATFORM, Page
from app.sandbox.stripe.work import Work, fresh_id, stamp

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz_.*")


def create_endpoint(work: Work, params: Params) -> Json:
    url, wanted = params.need_url("url"), _wanted(params)
    if wanted is None:
        raise wrong_param("Missing required param: enabled_events.", "enabled_events", "parameter_missing")
    version = params.text("api_version")
    if version not in {None, "", API_VERSION}:
        raise wrong_param(f"This sandbox speaks {API_VERSION} alone.", "api_version")
    scope = "connect" if params.flag("connect") else "platform"
    if len(work.store.page(work.account, "webhook_endpoint", Page(MOST_ENDPOINTS))) == MOST_ENDPOINTS:
        raise Refusal(f"You have reached the maximum of {MOST_ENDPOINTS} test webhook endpoints.")
    endpoint = _endpoint(work, url, wanted, scope, fresh_id("whsec", 32))
    endpoint["metadata"] = merge_metadata({}, params.metadata())
    assign(endpoint, params, "description")
    params.done()
    work.save(endpoint)
    # Told once; later answers do not hold it.
    return {**endpoint, "secret": endpoint["_secret"]}


def configure(work: Work, wanted: ConfiguredEndpoint) -> None:
    """Have this endpoint for everything, with this secret: a new one, or the one with its URL."""
    for endpoint in work.store.page(PLATFORM, "webhook_endpoint", Page(MOST_ENDPOINTS)):
        if endpoint["url"] == wanted.url:
            work.save({**endpoint, "_secret": wanted.secret, "_scope": "both", "status": "enabled"})
            return
    work.save(_endpoint(work, wanted.url, ["*"], "both", wanted.secret))


def get_endpoint(work: Work, params: Params, endpoint_id: str) -> Json:
    params.done()
    return work.need("webhook_endpoint", endpoint_id)


def update_endpoint(work: Work, params: Params, endpoint_id: str) -> Json:
    endpoint = work.need("webhook_endpoint", endpoint_id)
    if "url" in params:
        endpoint["url"] = params.need_url("url")
    endpoint["enabled_events"] = _wanted(params) or endpoint["enabled_events"]
    is_disabled = params.flag("disabled")
    if is_disabled is not None:
        endpoint["status"] = "disabled" if is_disabled else "enabled"
    endpoint["metadata"] = merge_metadata(endpoint["metadata"], params.metadata())
    assign(endpoint, params, "description")
    params.done()
    return work.save(endpoint)


def delete_endpoint(work: Work, params: Params, endpoint_id: str) -> Json:
    params.done()
    work.need("webhook_endpoint", endpoint_id)
    work.store.remove(endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def list_endpoints(work: Work, params: Params) -> Json:
    return list_objects(work, params, "webhook_endpoint")


def _endpoint(work: Work, url: str, wanted: list[str], scope: str, secret: str) -> Json:
    return stamp(
        work,
        "webhook_endpoint",
        "we",
        api_version=API_VERSION,
        application=None,
        description=None,
        enabled_events=wanted,
        metadata={},
        status="enabled",
        url=url,
        _scope=scope,
        _secret=secret,
    )


def _wanted(params: Params) -> list[str] | None:
    wanted = params.strings("enabled_events")
    if wanted is not None and (not wanted or any(not name or not set(name) <= _NAME_LETTERS for name in wanted)):
        raise wrong_param("Invalid enabled_events: must be names of events, or *.", "enabled_events")
    return wanted
