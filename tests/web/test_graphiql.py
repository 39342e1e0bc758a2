"""GraphiQL from the package: the page, its policy, its assets, and that every example fits the exported schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    FieldNode,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values
from litestar import Litestar
from litestar.testing import TestClient

from app.web.graphiql import (
    ASSETS_PATH,
    ExampleOperation,
    content_security_policy,
    graphiql_routes,
    load_examples,
    new_nonce,
    page_headers,
    render_graphiql,
)

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "app" / "web" / "static" / "graphiql"
EXAMPLES = load_examples()
NONCE = "n0nce-n0nce-n0nce"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    # Litestar's own logging would write down every request of the tests that this process runs after these.
    app = Litestar(route_handlers=[*graphiql_routes()], openapi_config=None, logging_config=None)
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text("utf-8"))


def page_data(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def operation_of(example: ExampleOperation) -> OperationDefinitionNode:
    (operation,) = parse(example.query).definitions
    assert isinstance(operation, OperationDefinitionNode)
    return operation


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_page_asks_no_other_host() -> None:
    page = render_graphiql(EXAMPLES, NONCE).decode()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) == 4
    assert all(address.startswith(f"{ASSETS_PATH}/") or address == "data:," for address in addresses)


def test_page_has_no_executable_inline_script_nor_inline_style() -> None:
    page = render_graphiql(EXAMPLES, NONCE).decode()
    scripts = re.findall(r"<script ([^>]*)>", page)
    assert [script for script in scripts if "application/json" not in script] == [
        f'nonce="{NONCE}" src="{ASSETS_PATH}/{json.loads((STATIC / "manifest.json").read_text())["script"]}"'
    ]
    assert "<style" not in page
    assert not re.search(r"\s(?:on\w+|style)=", page)


def test_page_carries_the_operations_and_the_endpoint() -> None:
    data = page_data(render_graphiql(EXAMPLES, NONCE, endpoint="/api/graphql").decode())
    assert data == {
        "endpoint": "/api/graphql",
        "operations": [
            {"name": each.name, "query": each.query, "variables": each.variables_json, "headers": each.headers_json}
            for each in EXAMPLES
        ],
    }


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028\u2029", "&lt;", '"\\'])
def test_texts_cannot_leave_the_data_element(text: str) -> None:
    hostile = ExampleOperation(name=text, query=text, variables_json=text, headers_json=text)
    page = render_graphiql([hostile], NONCE).decode()
    assert page.count("</script>") == 2
    element = page.partition('id="page-data">')[2].partition("</script>")[0]
    assert not set(element) & set("<>&\u2028\u2029")
    assert page_data(page)["operations"] == [{"name": text, "query": text, "variables": text, "headers": text}]


def test_policy_is_closed_but_for_the_nonce_and_this_host() -> None:
    policy = dict(part.split(" ", 1) for part in content_security_policy(NONCE).split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'nonce-{NONCE}'"
    assert policy["connect-src"] == "'self' ws: wss:"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in str(policy)
    assert "http" not in str(policy)


@pytest.mark.parametrize("nonce", ["", "short", "n0nce-n0nce-n0nce'; script-src *", "n0nce-n0nce-n0nce\r\nX: y"])
def test_policy_refuses_a_nonce_that_could_widen_it(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        content_security_policy(nonce)


def test_nonces_are_fit_for_the_policy_and_do_not_repeat() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    for nonce in nonces:
        assert page_headers(nonce)["Content-Security-Policy"] == content_security_policy(nonce)
    assert page_headers(NONCE)["Cache-Control"] == "no-store"


# ── the assets ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "media_type"), [("script", "text/javascript"), ("style", "text/css")])
def test_hashed_assets_are_kept_for_good(client: TestClient[Litestar], kind: str, media_type: str) -> None:
    name = json.loads((STATIC / "manifest.json").read_text())[kind]
    response = client.get(f"{ASSETS_PATH}/{name}")
    assert response.status_code == 200
    assert response.content == (STATIC / name).read_bytes()
    assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_licence_texts_are_served_but_not_kept(client: TestClient[Litestar]) -> None:
    response = client.get(f"{ASSETS_PATH}/third-party-licences.txt")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    for package in ("graphiql", "graphql-ws", "react", "codemirror"):
        assert re.search(rf"^{package} \d", response.text, re.MULTILINE)


@pytest.mark.parametrize("name", ["graphiql-OLD.js", "manifest.json", "..%2F..%2Fgraphiql.py", "%2e%2e", ""])
def test_anything_else_is_not_found(client: TestClient[Litestar], name: str) -> None:
    assert client.get(f"{ASSETS_PATH}/{name}").status_code == 404


def test_built_files_are_the_manifest_and_what_it_names() -> None:
    manifest = json.loads((STATIC / "manifest.json").read_text())
    assert {path.name for path in STATIC.iterdir()} == {
        *manifest.values(),
        "manifest.json",
        "third-party-licences.txt",
    }
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 2_500_000


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.suffix)
def test_built_files_hold_no_source_map_no_web_font_and_no_host_to_fetch_from(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "sourceMappingURL" not in text
    assert "registry." not in text
    if path.suffix == ".css":
        assert not re.search(r"@import|@font-face|url\((?!\"?data:)", text)
    for host in ("unpkg.com", "jsdelivr.net", "esm.sh", "cdnjs", "googleapis.com"):
        assert host not in text


# ── the examples ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_examples_are_numbered_in_order_and_named_apart() -> None:
    assert [each.name.partition(".")[0] for each in EXAMPLES] == [str(number) for number in range(1, len(EXAMPLES) + 1)]
    names = [operation.name.value for operation in map(operation_of, EXAMPLES) if operation.name]
    assert len(set(names)) == len(EXAMPLES)


def test_first_example_needs_no_variables() -> None:
    """GraphiQL opens its first tab with empty variables, whatever that tab's own are."""
    assert EXAMPLES[0].variables_json == ""
    assert EXAMPLES[0].headers_json == ""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_is_valid_against_the_exported_schema(example: ExampleOperation, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(example.query)) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_variables_of_the_example_have_the_shape_the_schema_wants(
    example: ExampleOperation, schema: GraphQLSchema
) -> None:
    variables = json.loads(example.variables_json or "{}")
    definitions = operation_of(example).variable_definitions or ()
    assert set(variables) <= {definition.variable.name.value for definition in definitions}
    errors = get_variable_values(schema, definitions, variables)
    assert not isinstance(errors, list), errors


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_selects_typename_and_any_error_of_a_union(example: ExampleOperation, schema: GraphQLSchema) -> None:
    operation = operation_of(example)
    if operation.operation is not OperationType.MUTATION:
        return
    assert schema.mutation_type
    for field in operation.selection_set.selections:
        assert isinstance(field, FieldNode)
        assert field.selection_set
        result = schema.mutation_type.fields[field.name.value].type
        assert isinstance(getattr(result, "of_type", result), GraphQLUnionType)
        chosen = field.selection_set.selections
        assert any(isinstance(each, FieldNode) and each.name.value == "__typename" for each in chosen)
        assert any(
            isinstance(each, InlineFragmentNode) and each.type_condition and each.type_condition.name.value == "Error"
            for each in chosen
        )


def test_headers_of_examples_are_objects_of_strings() -> None:
    for example in EXAMPLES:
        headers = json.loads(example.headers_json or "{}")
        assert all(isinstance(value, str) for value in headers.values())
