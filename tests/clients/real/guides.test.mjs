// The pages of the guides, as somebody pastes them into a file: they show what the guides say, also after a cut.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { WebSocket } from "ws";
import { cable, openPage, readGuide } from "./page.mjs";

const { server, serviceId, providerId, timeZone } = JSON.parse(process.env.TURNERO_WORLD);
const WAIT_MS = 15_000;

async function post(query, variables) {
  const answer = await fetch(`${server}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

async function until(isSo, what) {
  for (const end = Date.now() + WAIT_MS; !isSo(); ) {
    assert.ok(Date.now() < end, `still not so: ${isSo}, but ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const day = (n) => new Date(Date.now() + n * 864e5).toLocaleDateString("sv", { timeZone });
const shown = (start) => new Date(start).toLocaleString("sv", { timeZone }).slice(0, 16);

async function free(days) {
  const input = { serviceId, providerIds: [providerId], timeZone, from: days[0], to: days[1] };
  const { availability } = await post(
    `query ($input: AvailabilityInput!) { availability(input: $input) { days { starts } } }`, { input });
  return availability.days.flatMap(({ starts }) => starts);
}

/** The token and id, as `releaseHold` wants them. */
async function hold(startsAt) {
  const { holdSlot } = await post(
    `mutation ($input: HoldSlotInput!) { holdSlot(input: $input) { __typename ... on HoldSlotPayload { holdToken hold { id } } } }`,
    { input: { serviceId, providerId, startsAt } });
  assert.equal(holdSlot.__typename, "HoldSlotPayload");
  return { id: holdSlot.hold.id, token: holdSlot.holdToken };
}

async function release(held) {
  const { releaseHold } = await post(
    `mutation ($id: ID!, $token: String!) { releaseHold(holdId: $id, holdToken: $token) { __typename } }`, held);
  assert.equal(releaseHold.__typename, "Hold");
}

/** A list of free slots: all of them, one taken, a cut in which it comes back, and no other snapshot. */
async function showsFreeSlots(guide, cutOff) {
  const line = await cable(server);
  const days = [day(0), day(13)];
  const page = openPage(guide, line.url);
  const state = page.at("state"), slots = page.at("slots");
  const look = () => JSON.stringify({ state: state.told, slots: slots.items.length });
  await until(() => /^\d+ free · snapshot $/i.test(state.textContent), look);
  const before = await free(days);
  assert.deepEqual(slots.items, before.map(shown));

  const start = before.at(-1);
  const held = await hold(start);
  await until(() => /^\d+ free · change HELD$/i.test(state.textContent), look);
  assert.deepEqual(slots.items, (await free(days)).map(shown));
  assert.ok(!slots.items.includes(shown(start)));

  line.cut();
  if (cutOff) await until(() => state.textContent === cutOff, look);
  await release(held);
  line.mend();
  await until(() => /^\d+ free · change RELEASED$/i.test(state.textContent), look);
  assert.deepEqual(slots.items, before.map(shown));
  assert.equal(state.told.filter((text) => /snapshot|resync/i.test(text)).length, 1, look());
  page.close();
  line.close();
  return page;
}

test("docs/realtime.md", async () => {
  const page = await showsFreeSlots("realtime.md", "cut off, coming back …");
  assert.match(page.at("h1").textContent, /: Service$/);
});

test("docs/sse.md", () => showsFreeSlots("sse.md"));

test("docs/presence.md", async () => {
  const line = await cable(server);
  const page = openPage("presence.md", line.url);
  const status = page.at("status"), others = page.at("others"), slot = page.at("slot");
  const look = () => JSON.stringify({ status: status.told, others: others.items, slot: slot.told });
  const becomes = (text) => until(() => status.textContent.startsWith(text), look);
  await becomes("FREE · 10.00 USD");

  await page.at("hold").onclick();
  await becomes("YOURS");
  assert.equal(page.at("release").hidden, false);
  assert.equal(page.at("hold").disabled, true);
  await page.at("release").onclick();
  await becomes("FREE");

  const startsAt = (await free([day(1), day(1)])).find((start) => shown(start) === slot.textContent);
  const held = await hold(startsAt);
  await becomes("HELD");
  assert.ok(others.children.length > 0);
  for (const _ of [1, 2]) {
    line.cut();
    await becomes("cut off");
    line.mend();
    await becomes("HELD");
  }
  line.cut();
  await becomes("cut off");
  await release(held);
  line.mend();
  await becomes("FREE");

  const again = await hold(startsAt);
  await becomes("HELD");
  const [other] = others.children;
  other.onclick();
  await becomes("FREE");
  assert.equal(`${slot.textContent} instead`, other.textContent);
  await release(again);
  page.close();
  line.close();
});

// Both come back at once, so that nobody waits for them.
const libraries = {
  "graphql-ws": ({ url, ...options }) =>
    createSocketClient({ ...options, url, webSocketImpl: globalThis.WebSocket ?? WebSocket, retryWait: async () => undefined }),
  "graphql-sse": ({ url }) =>
    createSseClient({ url: url.replace("ws:", "http:"), retryAttempts: 1_000, retry: () => new Promise((go) => setTimeout(go, 20)) }),
};

for (const [name, createClient] of Object.entries(libraries)) {
  test(`docs/realtime.md, with ${name}`, async () => {
    const line = await cable(server);
    const sample = /```js\n(.*?)```/s.exec(readGuide("realtime.md"))[1].replace(/^import .*\n/, "");
    const input = { serviceId, providerIds: [providerId], timeZone, from: day(0), to: day(13) };
    const events = [];
    const address = sample.replaceAll("127.0.0.1:8000", new URL(line.url).host);
    const run = new Function("createClient", "input", "take", `${address}; return stop;`);
    const stop = run(createClient, input, (event) => events.push(event));
    const look = () => JSON.stringify(events.map(({ kind, causes }) => [kind, causes]));
    await until(() => events.length === 1, look);
    const startsAt = events[0].opened.at(-1);
    // What other pages did before may still be told, of other times.
    const told = () => events.filter(({ kind, opened, closed }) => kind !== "CHANGE" || [...opened, ...closed].includes(startsAt));
    const held = await hold(startsAt);
    await until(() => told().length === 2, look);
    line.cut();
    await release(held);
    line.mend();
    await until(() => told().length === 3, look);
    assert.deepEqual(told().map(({ kind }) => kind), ["SNAPSHOT", "CHANGE", "CHANGE"]);
    assert.deepEqual(told()[2].opened, told()[1].closed);
    stop();
    line.close();
  });
}
