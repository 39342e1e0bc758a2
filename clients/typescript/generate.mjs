// Writes src/generated/schema.ts, every type of the schema, and src/generated/operations.ts, each operation of
// src/operations with the types of its variables and its answer. They are made by every build, and not kept.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { codegen } from "@graphql-codegen/core";
import * as documentsPlugin from "@graphql-codegen/typed-document-node";
import * as schemaPlugin from "@graphql-codegen/typescript";
import * as operationsPlugin from "@graphql-codegen/typescript-operations";
import { parse } from "graphql";

const here = new URL(".", import.meta.url);
const folder = new URL("src/operations/", here);
const schema = parse(readFileSync(new URL("../../schema.graphql", here), "utf8"));
const documents = readdirSync(folder)
  .filter((name) => name.endsWith(".graphql"))
  .sort()
  .map((name) => ({ location: name, document: parse(readFileSync(new URL(name, folder), "utf8")) }));

const target = new URL("src/generated/", here);
mkdirSync(target, { recursive: true });

const config = {
  documentMode: "string",
  enumsAsTypes: true,
  immutableTypes: true,
  scalars: {
    ID: "string",
    Date: "string",
    DateTime: "string",
    JSON: "unknown",
    LocalTime: "string",
    Minor: "number",
    TimeZone: "string",
  },
  strictScalars: true,
  useTypeImports: true,
};

const files = {
  "schema.ts": [[], { schemaPlugin }],
  "operations.ts": [documents, { operationsPlugin, documentsPlugin }],
};

for (const [name, [read, pluginMap]] of Object.entries(files)) {
  const plugins = Object.keys(pluginMap).map((plugin) => ({ [plugin]: {} }));
  const text = await codegen({ filename: name, schema, documents: read, config, plugins, pluginMap });
  const made = `// Made by \`npm run generate\` from schema.graphql and src/operations.\n${text.trim()}\n`;
  writeFileSync(new URL(name, target), made);
}
