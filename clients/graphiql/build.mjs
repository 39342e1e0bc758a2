// Builds the page into app/web/static/graphiql: one script and one style sheet named by their content, a manifest
// that names them, and the licence texts of everything that went in. Same lock file, same bytes.

import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(here, "../../app/web/static/graphiql");

/** GraphiQL's style sheet carries 370 kB of web fonts; the system's own serve as well and load at once. */
const systemFonts = {
  name: "system-fonts",
  setup(bundler) {
    bundler.onLoad({ filter: /graphiql[\\/]dist[\\/]style\.css$/ }, async ({ path: file }) => {
      const css = await readFile(file, "utf8");
      const contents = css
        .replace(/@font-face\s*\{[^}]*\}/g, "")
        .replaceAll('"Roboto", sans-serif', "system-ui, sans-serif")
        .replaceAll('"Fira Code", monospace', "ui-monospace, monospace");
      if (/Roboto|Fira Code|url\((?!"?data:)/.test(contents)) {
        throw new Error("style.css names a web font or an address: adapt build.mjs to this version of graphiql");
      }
      return { contents, loader: "css" };
    });
  },
};

const MIT = `Copyright (c) HOLDER

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

const result = await build({
  absWorkingDir: here,
  entryPoints: { graphiql: "src/page.jsx" },
  outdir: target,
  entryNames: "[name]-[hash]",
  bundle: true,
  format: "iife",
  jsx: "automatic",
  minify: true,
  target: ["chrome109", "firefox115", "safari16"],
  charset: "utf8",
  legalComments: "none", // third-party-licences.txt has them all
  define: { "process.env.NODE_ENV": '"production"' },
  plugins: [systemFonts],
  metafile: true,
  write: false,
  logLevel: "warning",
});

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
const manifest = {};
for (const file of result.outputFiles) {
  const name = path.basename(file.path);
  manifest[name.endsWith(".css") ? "style" : "script"] = name;
  await writeFile(path.join(target, name), file.contents);
}
await writeFile(path.join(target, "manifest.json"), `${JSON.stringify(manifest, Object.keys(manifest).sort(), 2)}\n`);
await writeFile(path.join(target, "third-party-licences.txt"), await licences(Object.keys(result.metafile.inputs)));

/** The texts of the licences of all packages whose files are in the bundle. Refuses a package without any. */
async function licences(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) folders.add(found[1]);
  }
  const sections = await Promise.all([...folders].map(licence));
  sections.sort((a, b) => (a.title < b.title ? -1 : 1));
  return sections.map(({ title, text }) => `${"=".repeat(100)}\n${title}\n${"=".repeat(100)}\n\n${text}\n`).join("\n");
}

async function licence(folder) {
  const about = JSON.parse(await readFile(path.join(here, folder, "package.json"), "utf8"));
  const names = (await readdir(path.join(here, folder))).filter((name) => /^(licen[cs]e|notice)/i.test(name)).sort();
  const texts = await Promise.all(names.map((name) => readFile(path.join(here, folder, name), "utf8")));
  const title = `${about.name} ${about.version} (${about.license})`;
  const text = texts.length ? texts.map((each) => each.replaceAll("\r\n", "\n").trim()).join("\n\n") : fallback(about);
  return { title, text };
}

/** For packages published without a licence file: their declared licence and authors, with the licence's text. */
function fallback(about) {
  if (about.license !== "MIT") throw new Error(`${about.name}: no licence text, and none known for ${about.license}`);
  const holder = about.author?.name ?? about.author ?? about.contributors?.[0]?.name ?? about.contributors?.[0];
  return MIT.replace("HOLDER", holder ?? `the authors of ${about.name}`);
}
