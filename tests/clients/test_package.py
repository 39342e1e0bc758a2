"""The TypeScript client as those who install it get it: what is in it, what its types need, what its README shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from graphql import FieldNode, GraphQLObjectType, OperationDefinitionNode, OperationType, build_schema, parse

from tests.clients.test_typescript import FOLDER, built
from tests.npm import run

ROOT = Path(__file__).resolve().parents[2]
NAMES = """
import type * as Turnero from "turnero-client";
type Provider = Turnero.WatchPresenceSubscription["presence"]["providers"][number];
declare const client: Turnero.TurneroClient;
declare const input: { providerIds: string[]; from: string; to: string };
declare const serviceId: string, startsAt: string, idempotencyKey: string;
declare function show(starts: string[], causes: ReadonlyArray<Turnero.AvailabilityCause>): void;
declare function offer(alternatives: ReadonlyArray<Turnero.Slot>): void;
declare function forgetAll(): void;
declare function forget(providerId: string): void;
declare function put(provider: Provider): void;
"""
"""What the samples take for given."""


@pytest.fixture(scope="module", autouse=True)
async def package() -> None:
    await built()


async def test_what_is_packed() -> None:
    """All that its entry points need, with sources for a debugger, and nothing of the tests."""
    packed = json.loads(await run(["npm", "pack", "--dry-run", "--json", "--ignore-scripts", "--silent"], FOLDER))
    [found] = packed if isinstance(packed, list) else packed.values()
    files = {entry["path"] for entry in found["files"]}
    about = json.loads((FOLDER / "package.json").read_text("utf-8"))
    assert {path.removeprefix("./") for path in about["exports"]["."].values()} < files
    assert {"README.md", "package.json"} < files
    sources = {str(path.relative_to(FOLDER)) for path in (FOLDER / "src").rglob("*.*")}
    assert sources < files
    for source in (path for path in sources if path.endswith(".ts")):
        assert {f"dist/{source.removesuffix('.ts')}{end}" for end in (".js", ".d.ts")} < files
    assert [path for path in files if not re.match(r"(dist/)?src/|README\.md$|package\.json$", path)] == []


def test_its_types_need_only_what_it_depends_on() -> None:
    about = json.loads((FOLDER / "package.json").read_text("utf-8"))
    needed = set()
    for path in (FOLDER / "dist" / "src").rglob("*.ts"):
        needed |= set(re.findall(r"""(?:from|import\()\s*["']([^."'][^"']*)["']""", path.read_text("utf-8")))
    assert needed
    assert needed <= {*about["dependencies"], *about["peerDependencies"]}


async def test_the_samples_of_its_readme_compile() -> None:
    samples = re.findall(r"```ts\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.S)
    assert len(samples) == 3
    folder = FOLDER / "dist" / "readme"
    folder.mkdir(exist_ok=True)
    for number, sample in enumerate(samples):
        body = "".join(line for line in sample.splitlines(keepends=True) if not line.startswith("import "))
        imports = sample.replace(body, "")
        own = set(re.findall(r"const (\w+) =", body))
        given = "".join(
            line for line in NAMES.splitlines(keepends=True) if not own & set(re.findall(r"const (\w+):", line))
        )
        (folder / f"sample{number}.ts").write_text(f"{imports}{given}\nexport {{}};\n{body}", "utf-8")
    settings = {
        "extends": "../../tsconfig.browser.json",
        "compilerOptions": {"rootDir": ".", "noUnusedLocals": False},
        "include": ["*.ts"],
        "exclude": [],
    }
    (folder / "tsconfig.json").write_text(json.dumps(settings), "utf-8")
    await run(["node", "node_modules/typescript/bin/tsc", "-p", "dist/readme"], FOLDER)


def test_every_subscription_has_its_document() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text("utf-8"))
    assert isinstance(schema.subscription_type, GraphQLObjectType)
    watched = {
        field.name.value
        for path in (FOLDER / "src" / "operations").glob("*.graphql")
        for one in parse(path.read_text("utf-8")).definitions
        if isinstance(one, OperationDefinitionNode) and one.operation is OperationType.SUBSCRIPTION
        for field in one.selection_set.selections
        if isinstance(field, FieldNode)
    }
    assert watched == set(schema.subscription_type.fields)
