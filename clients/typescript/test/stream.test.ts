import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AvailabilityDocument,
  type AvailabilityEvent,
  type AvailabilityView,
  ConnectionRefused,
  foldAvailability,
  HoldSlotDocument,
  OperationError,
  ReleaseHoldDocument,
  type Slot,
  type TurneroClient,
  TypedDocumentString,
  WatchAvailabilityDocument,
  watchAvailability,
  WatchPresenceDocument,
} from "../src/index.js";
import { Cable, open, wholeDay, world } from "./world.js";

const CUTS = 20;

/** The hold's id and token; fails unless the slot was free. */
async function hold(client: TurneroClient, startsAt: string): Promise<{ holdId: string; holdToken: string }> {
  const { holdSlot } = await client.execute(HoldSlotDocument, { input: { serviceId: world.serviceId, startsAt } });
  assert.equal(holdSlot.__typename, "HoldSlotPayload", JSON.stringify(holdSlot));
  return { holdId: holdSlot.hold.id, holdToken: holdSlot.holdToken };
}

async function queried(client: TurneroClient): Promise<Slot[]> {
  const { availability } = await client.execute(AvailabilityDocument, { input: wholeDay });
  return availability.days.flatMap((day) => day.slots);
}

/** Looks again and again. Fails after 20 s. */
async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !isSo(); ) {
    assert.ok(Date.now() < end, `still not so: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Fails for an event that cannot follow on this view: a gap, or a repeat. */
function fits(view: AvailabilityView | null, event: AvailabilityEvent): void {
  if (event.kind !== "CHANGE") return;
  assert.ok(view !== null, "a change before a snapshot");
  for (const start of event.opened) assert.ok(!view.slots.has(start), `${start} opened twice`);
  for (const start of event.closed) assert.ok(view.slots.has(start), `${start} closed twice`);
}

test(`a stream that is cut ${CUTS} times misses nothing and repeats nothing`, { timeout: 60_000 }, async () => {
  const cable = await Cable.to(world.url);
  const office = open();
  const client = open({ url: cable.url });
  const stop = new AbortController();
  const expected = 1 + 2 * CUTS + 1;
  const kinds: string[] = [];
  let view: AvailabilityView | null = null;
  const watching = (async () => {
    for await (const event of client.watch(WatchAvailabilityDocument, { input: wholeDay }, { signal: stop.signal })) {
      fits(view, event);
      kinds.push(event.kind);
      view = foldAvailability(view, event);
    }
  })();
  await until(() => kinds.length > 0);
  for (let round = 0; round < CUTS; round += 1) {
    const startsAt = world.starts[round % world.starts.length]!;
    if (round % 3 === 0) cable.cut(10 * (round % 5));
    const held = await hold(office, startsAt);
    if (round % 3 === 1) setTimeout(() => cable.cut(), Math.random() * 20);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
    if (round % 3 === 2) cable.cut();
    const released = await office.execute(ReleaseHoldDocument, held);
    assert.equal(released.releaseHold.__typename, "Hold");
  }
  await hold(office, world.starts[0]!);
  const answer = await queried(office);
  await until(() => kinds.length >= expected);
  stop.abort();
  await watching;
  assert.deepEqual([...view!.slots.values()].flat(), answer);
  assert.deepEqual(kinds, ["SNAPSHOT", ...Array<string>(expected - 1).fill("CHANGE")]);
  assert.ok(cable.connections > CUTS / 2, `${cable.connections} connections`);
  await client.close();
  await office.close();
  cable.close();
});

test("two streams share one socket, and each is ended by its own signal", async () => {
  const cable = await Cable.to(world.url);
  const client = open({ url: cable.url });
  const [one, other] = [new AbortController(), new AbortController()];
  const first = watchAvailability(client, wholeDay, { signal: one.signal });
  const second = watchAvailability(client, wholeDay, { signal: other.signal });
  await Promise.all([first.next(), second.next()]);
  assert.equal(cable.connections, 1);
  one.abort();
  assert.equal((await first.next()).done, true);
  const held = await hold(client, world.starts[1]!);
  assert.deepEqual((await second.next()).value?.causes, ["HELD"]);
  await client.execute(ReleaseHoldDocument, held);
  assert.deepEqual((await second.next()).value?.causes, ["RELEASED"]);
  other.abort();
  assert.equal((await second.next()).done, true);
  await client.close();
  cable.close();
});

test("what the server refuses is thrown, with its code, and not tried again", async () => {
  const client = open();
  const nobody = watchAvailability(client, { ...wholeDay, from: "2020-01-02", to: "2020-01-01" });
  await assert.rejects(nobody.next(), (error: unknown) => {
    assert.ok(error instanceof OperationError);
    assert.deepEqual(error.codes, ["BAD_INPUT"]);
    return true;
  });
  await assert.rejects(
    client.execute(AvailabilityDocument, { input: { ...wholeDay, timeZone: "Mars/Base" } }),
    (error: unknown) => error instanceof OperationError && !error.isPassing && error.codes[0] === "BAD_INPUT",
  );
  await client.close();
});

test("a token that is not valid is asked for once more, and then told", async () => {
  let asked = 0;
  const client = open({ accessToken: () => `wrong-${(asked += 1)}` });
  await assert.rejects(
    watchAvailability(client, wholeDay).next(),
    (error: unknown) => error instanceof ConnectionRefused && error.code === 4403,
  );
  assert.equal(asked, 2);
  await client.close();
});

test("a token that is over is followed by the new one", async () => {
  const tokens = ["over", world.token];
  const client = open({ accessToken: () => tokens.shift() ?? world.token });
  const stop = new AbortController();
  const views = watchAvailability(client, wholeDay, { signal: stop.signal });
  assert.ok(((await views.next()).value?.slots.size ?? 0) > 0);
  assert.equal(tokens.length, 0);
  stop.abort();
  await client.close();
});

test("a server that is away is waited for", async () => {
  const cable = await Cable.to(world.url);
  const client = open({ url: cable.url });
  const stop = new AbortController();
  const states: string[] = [];
  cable.cut(120);
  const views = watchAvailability(client, wholeDay, { signal: stop.signal, onState: (state) => states.push(state) });
  assert.ok((await views.next()).value);
  assert.deepEqual(states.slice(0, 2), ["connecting", "waiting"]);
  assert.deepEqual(states.slice(-2), ["connecting", "live"]);
  stop.abort();
  await client.close();
  cable.close();
});

test("a subscription without a cursor is refused before it could miss anything", async () => {
  const client = open();
  const document = new TypedDocumentString<{ availability: { cursor: string } }, { input: typeof wholeDay }>(
    "subscription ($input: AvailabilityInput!) { availability(input: $input) { opened } }",
  );
  await assert.rejects(client.watch(document, { input: wholeDay }).next(), TypeError);
  await client.close();
});

test("return() ends a stream that waits for its next event", async () => {
  const client = open();
  const views = watchAvailability(client, wholeDay);
  const events = client.watch(WatchAvailabilityDocument, { input: wholeDay });
  await Promise.all([views.next(), events.next()]);
  const waiting = [views.next(), events.next()];
  await Promise.all([views.return(), events.return()]);
  assert.deepEqual((await Promise.all(waiting)).map(({ done }) => done), [true, true]);
  const unread = client.watch(WatchAvailabilityDocument, { input: wholeDay });
  await unread.return();
  assert.equal((await unread.next()).done, true);
  await client.close();
});

test("a client that is closed ends its streams, also one that waits to come back", async () => {
  const cable = await Cable.to(world.url);
  const client = open();
  const cutOff = open({ url: cable.url, firstPauseMs: 60_000, longestPauseMs: 60_000 });
  let state = "";
  const views = watchAvailability(client, wholeDay);
  const waiting = watchAvailability(cutOff, wholeDay, { onState: (now) => (state = now) });
  await Promise.all([views.next(), waiting.next()]);
  const ends = [views.next(), waiting.next()];
  cable.cut();
  await until(() => state === "waiting");
  await Promise.all([client.close(), cutOff.close()]);
  assert.deepEqual((await Promise.all(ends)).map(({ done }) => done), [true, true]);
  assert.equal((await watchAvailability(client, wholeDay).next()).done, true);
  cable.close();
});

test("a server that fell asleep is left, and nothing is missed", async () => {
  const cable = await Cable.to(world.url);
  const client = open({ url: cable.url, silenceMs: 100 });
  const office = open();
  const views = watchAvailability(client, wholeDay);
  await views.next();
  cable.freeze();
  const held = await hold(office, world.starts[2]!);
  assert.deepEqual((await views.next()).value?.causes, ["HELD"]);
  assert.ok(cable.connections > 1);
  await office.execute(ReleaseHoldDocument, held);
  assert.deepEqual((await views.next()).value?.causes, ["RELEASED"]);
  await client.close();
  cable.close();
});

test("RESYNC: what was there before is forgotten", async () => {
  const office = open({ accessToken: () => world.token });
  const nextDay = new Date(Date.parse(world.day) + 864e5).toISOString().slice(0, 10);
  const input = { ...wholeDay, from: nextDay, to: nextDay };
  const before = await office.execute(AvailabilityDocument, { input });
  const reprice = new TypedDocumentString<{ updateService: { __typename: string } }, { input: object }>(
    "mutation ($input: UpdateServiceInput!) { updateService(input: $input) { __typename } }",
  );
  const { updateService } = await office.execute(reprice, { input: { serviceId: world.serviceId, priceMinor: 2_500 } });
  assert.equal(updateService.__typename, "UpdateServicePayload");
  const gone = { startsAt: "2001-01-01T00:00:00Z" } as Slot;
  const stale: AvailabilityView = { cursor: "", slots: new Map([[gone.startsAt, [gone]]]), causes: [] };
  const after = before.availability.cursor;
  const event = (await office.watch(WatchAvailabilityDocument, { input, after }).next()).value;
  assert.equal(event?.kind, "RESYNC");
  const view = foldAvailability(stale, event);
  const { availability } = await office.execute(AvailabilityDocument, { input });
  assert.deepEqual([...view.slots.values()].flat(), availability.days.flatMap((day) => day.slots));
  assert.equal(view.slots.values().next().value?.[0]?.price?.amount, "25.00");
  await office.close();
});

test("presence has no cursor: it begins anew after a cut", async () => {
  const cable = await Cable.to(world.url);
  const client = open({ url: cable.url });
  const input = { providerIds: [world.providerId], from: world.day, to: world.day };
  const events = client.watch(WatchPresenceDocument, { input }, { withoutCursor: true });
  assert.equal((await events.next()).value?.kind, "SNAPSHOT");
  cable.cut();
  assert.equal((await events.next()).value?.kind, "SNAPSHOT");
  await assert.rejects(client.watch(WatchPresenceDocument, { input }).next(), TypeError);
  await client.close();
  cable.close();
});

test("an installation with too many sockets waits for one of its own to end", async () => {
  const clients = Array.from({ length: 6 }, () => open({ clientId: "a-shop-window" }));
  const states: string[] = [];
  const views = clients.map((client) => watchAvailability(client, wholeDay, { onState: (state) => states.push(state) }));
  await Promise.all(views.slice(0, 5).map((each) => each.next()));
  void views[5]!.next();
  await until(() => states.includes("waiting"));
  assert.equal(states.filter((state) => state === "live").length, 5);
  await Promise.all(clients.map((client) => client.close()));
});
