"""The known traps of the transport, each with the tests that keep us out of it: one that goes away is missed here."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TRAPS = {
    "1 validation that walks a fragment again at each spread": [
        "web/test_limits.py::test_work_is_linear_in_the_document",
        "web/test_limits.py::test_evaluation_with_variables_is_linear_too",
        "web/test_limits.py::test_the_dearest_documents_within_the_tokens_are_cheap",
    ],
    "2 no limit on cost": [
        "web/test_limits.py::test_nine_aliases_five_deep_are_refused_at_once",
        "web/test_limits.py::test_cost_follows_variables",
        "web/test_event_stream.py::test_errors_before_the_first_result_are_events",
    ],
    "3 bodies that are no requests give 500": [
        "web/test_graphql_http.py::test_malformed_bodies_are_400",
        "web/test_graphql_http.py::test_random_bodies_never_give_500",
        "web/test_event_stream.py::test_what_is_no_request_is_refused_by_its_status",
    ],
    "4 messages that are none close a socket with 4500": [
        "web/test_graphql_websocket.py::test_messages_that_are_none_close_with_4400",
        "web/test_graphql_websocket.py::test_random_messages_never_crash_the_socket",
        "web/test_graphql_websocket.py::test_close_reasons_fit_their_frame",
        "web/test_socket_protocol.py::test_text_that_is_none_is_1007",
        "web/test_socket_protocol.py::test_ids_are_given_back_as_they_were",
    ],
    "5 a minute to initialise, a hundred operations, any number of sockets": [
        "web/test_graphql_websocket.py::test_init_in_time",
        "web/test_graphql_websocket.py::test_twenty_operations_for_a_socket",
        "web/test_graphql_websocket.py::test_sockets_of_one_address",
        "web/test_clients.py::test_of_a_signed_in_user_sockets_and_streams_count_together",
        "web/test_clients.py::test_operations_of_a_client_count_on_all_its_sockets",
        "web/test_hostile_clients.py::test_refused_operations_of_one_who_reads_nothing_are_not_heaped_up",
        "web/test_socket_protocol.py::test_no_way_out_keeps_a_place",
        "e2e/test_realtime_doc.py::test_the_guide_gives_the_limits_there_are",
    ],
    "6 a subscription runs as a query": [
        "web/test_graphql_http.py::test_subscriptions_need_a_socket_or_a_stream",
        "web/test_event_stream.py::test_who_does_not_name_streams_gets_none",
    ],
    "7 one bad operation closes the socket, or is answered by nothing": [
        "web/test_graphql_websocket.py::test_a_bad_operation_does_not_close_the_socket",
    ],
    "8 event streams forced on who merely lists them, with CR LF": [
        "web/test_event_stream.py::test_urql_gets_json_for_queries_and_a_stream_for_subscriptions",
        "web/test_event_stream.py::test_the_bytes_are_those_of_the_protocol",
        "web/test_graphql_http.py::test_negotiation",
        "clients/test_real_clients.py::test_the_clients_that_people_use",
    ],
    "9 our own refusals masked, others' errors told": [
        "web/test_graphql_http.py::test_unknown_errors_are_masked_and_logged",
        "web/test_graphql_http.py::test_mutations_need_post",
        "web/test_graphql_websocket.py::test_a_stream_that_breaks_is_masked",
        "web/test_event_stream.py::test_a_stream_that_breaks_says_so_and_hides_why",
    ],
    "10 the media type application/graphql-response+json and its statuses": [
        "web/test_graphql_http.py::test_refused_requests_by_media_type",
        "web/test_graphql_http.py::test_field_errors_are_200_with_data",
        "clients/test_real_clients.py::test_the_clients_that_people_use",
    ],
    "11 an answer with another user's headers": [
        "web/test_graphql_http.py::test_no_request_gets_the_headers_of_another",
    ],
    "12 one context for the whole socket": [
        "web/test_graphql_websocket.py::test_each_operation_and_event_has_a_fresh_context",
        "web/test_graphql_websocket.py::test_the_token_in_the_payload",
        "web/test_graphql_websocket.py::test_the_socket_ends_with_its_token",
        "web/test_event_stream.py::test_each_event_has_a_fresh_context",
        "web/test_event_stream.py::test_the_stream_ends_with_its_token",
    ],
    "13 a mutation given up half way": [
        "web/test_graphql_http.py::test_a_mutation_ends_and_a_query_does_not_when_the_client_leaves",
        "web/test_event_stream.py::test_a_mutation_ends_although_its_client_leaves",
        "web/test_graphql_websocket.py::test_a_bad_operation_does_not_close_the_socket",
        "e2e/test_drain.py::test_a_process_that_is_told_to_end",
    ],
    "14 committed, and told as an error": [
        "schema/test_idempotency.py::test_a_change_is_made_once",
        "schema/test_idempotency.py::test_ten_at_once_have_one_effect",
    ],
    "15 a page whose scripts come from elsewhere": [
        "web/test_graphiql.py::test_page_asks_no_other_host",
        "web/test_graphiql.py::test_policy_is_closed_but_for_the_nonce_and_this_host",
    ],
}


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_has_its_tests(trap: str) -> None:
    for test in TRAPS[trap]:
        path, _, name = test.partition("::")
        assert name in names_in(path), test


def test_all_fifteen_are_here() -> None:
    assert [int(trap.split()[0]) for trap in TRAPS] == list(range(1, 16))
