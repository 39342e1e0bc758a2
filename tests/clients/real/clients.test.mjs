// What people use in their programs, as they use it, against the server that TURNERO_WORLD names.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { auditServer } from "graphql-http";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { WebSocket } from "ws";

const world = JSON.parse(process.env.TURNERO_WORLD);
const input = { serviceId: world.serviceId, from: world.day, to: world.day, timeZone: "UTC" };

const WATCH = /* GraphQL */ `
  subscription Watch($input: AvailabilityInput!, $after: String) {
    availability(input: $input, after: $after) { kind cursor opened closed causes }
  }
`;
const FREE = /* GraphQL */ `query Free($input: AvailabilityInput!) { availability(input: $input) { cursor days { date starts } } }`;
const HOLD = /* GraphQL */ `
  mutation Hold($input: HoldSlotInput!) {
    holdSlot(input: $input) { __typename ... on HoldSlotPayload { holdToken hold { id } } ... on Error { code message } }
  }
`;
const RELEASE = /* GraphQL */ `
  mutation Release($id: ID!, $token: String!) { releaseHold(holdId: $id, holdToken: $token) { __typename } }
`;

const starts = [...world.starts];

/** A start of its own for each test. */
const takeStart = () => starts.shift();

async function post(query, variables) {
  const answer = await fetch(world.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return answer.json();
}

/** Somebody else holds the start and gives it back. */
async function holdAndRelease(startsAt) {
  const { data } = await post(HOLD, { input: { serviceId: world.serviceId, startsAt } });
  assert.equal(data.holdSlot.__typename, "HoldSlotPayload", JSON.stringify(data));
  const released = await post(RELEASE, { id: data.holdSlot.hold.id, token: data.holdSlot.holdToken });
  assert.equal(released.data.releaseHold.__typename, "Hold", JSON.stringify(released));
}

/** What every client has to hear: all that is free, one start closed, the same one open again. Other tests' too. */
async function hearsAllOf(nextEvent) {
  const startsAt = takeStart();
  const nextOf = async (field) => {
    for (;;) {
      const event = await nextEvent();
      assert.equal(event.kind, "CHANGE");
      if (event.opened.includes(startsAt) || event.closed.includes(startsAt)) {
        assert.ok(event[field].includes(startsAt), JSON.stringify(event));
        return event;
      }
    }
  };
  const snapshot = await nextEvent();
  assert.equal(snapshot.kind, "SNAPSHOT");
  assert.ok(snapshot.opened.includes(startsAt), `${startsAt} is not in ${snapshot.opened}`);
  await holdAndRelease(startsAt);
  assert.deepEqual((await nextOf("closed")).causes, ["HELD"]);
  assert.deepEqual((await nextOf("opened")).causes, ["RELEASED"]);
}

/** Events pushed in, taken out one by one. */
function mailbox() {
  const waiting = [];
  const readers = [];
  return {
    push(value) {
      const reader = readers.shift();
      if (reader) reader(value);
      else waiting.push(value);
    },
    next: () => (waiting.length > 0 ? Promise.resolve(waiting.shift()) : new Promise((resolve) => readers.push(resolve))),
  };
}

const openSocket = () => createSocketClient({ url: world.url.replace(/^http/, "ws"), webSocketImpl: WebSocket, retryAttempts: 0 });

test("graphql-ws", async () => {
  const client = openSocket();
  const events = client.iterate({ query: WATCH, variables: { input } });
  await hearsAllOf(async () => (await events.next()).value.data.availability);
  await events.return();
  await client.dispose();
});

test("graphql-ws: a bad operation ends itself, and not the socket", async () => {
  const sockets = [];
  const client = createSocketClient({
    url: world.url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    on: { opened: (socket) => sockets.push(socket) },
  });
  const events = client.iterate({ query: WATCH, variables: { input } });
  assert.equal((await events.next()).value.data.availability.kind, "SNAPSHOT");
  for (const query of ["subscription {", "{ nothing }", `mutation { releaseHold(holdId: "x", holdToken: "y") { __typename } }`]) {
    await assert.rejects(client.iterate({ query }).next(), (errors) => Array.isArray(errors) && errors.length > 0);
  }
  await holdAndRelease(takeStart());
  assert.deepEqual((await events.next()).value.data.availability.causes, ["HELD"]);
  assert.equal(sockets.length, 1);
  await events.return();
  await client.dispose();
});

test("graphql-sse in distinct connections mode", async () => {
  const client = createSseClient({ url: world.url, retryAttempts: 0 });
  const events = client.iterate({ query: WATCH, variables: { input } });
  await hearsAllOf(async () => (await events.next()).value.data.availability);
  await events.return();
  const answer = await client.iterate({ query: FREE, variables: { input } }).next();
  assert.equal(answer.value.data.availability.days.length, 1);
  // Whoever reads a stream sees events alone, so a bad operation's errors are one.
  assert.equal((await client.iterate({ query: "subscription {" }).next()).value.errors[0].extensions.code, "BAD_INPUT");
  client.dispose();
});

test("@apollo/client", async () => {
  const sockets = openSocket();
  const isSubscription = ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION;
  const link = ApolloLink.split(isSubscription, new GraphQLWsLink(sockets), new HttpLink({ uri: world.url }));
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  const { data } = await client.query({ query: gql(FREE), variables: { input } });
  assert.equal(data.availability.days.length, 1);
  await assert.rejects(
    client.query({ query: gql(FREE), variables: { input: { ...input, timeZone: "Mars/Base" } } }),
    (error) => CombinedGraphQLErrors.is(error) && error.errors[0].extensions.code === "BAD_INPUT",
  );
  const box = mailbox();
  const watching = client.subscribe({ query: gql(WATCH), variables: { input } }).subscribe((result) => {
    box.push(result.data?.availability ?? result.error);
  });
  await hearsAllOf(box.next);
  watching.unsubscribe();
  const startsAt = takeStart();
  const held = await client.mutate({ mutation: gql(HOLD), variables: { input: { serviceId: world.serviceId, startsAt } } });
  const { hold, holdToken } = held.data.holdSlot;
  await client.mutate({ mutation: gql(RELEASE), variables: { id: hold.id, token: holdToken } });
  client.stop();
  await sockets.dispose();
});

const urqlExchanges = {
  "over the socket": () => {
    const sockets = openSocket();
    const forward = (request) => ({
      subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ ...request, query: request.query ?? "" }, sink) }),
    });
    return { exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription: forward })] };
  },
  "over server-sent events": () => ({ exchanges: [fetchExchange], fetchSubscriptions: true }),
};

for (const [way, options] of Object.entries(urqlExchanges)) {
  test(`@urql/core ${way}`, async () => {
    const client = new Client({ url: world.url, preferGetMethod: false, ...options() });
    const found = await client.query(FREE, { input }).toPromise();
    assert.equal(found.error, undefined);
    assert.equal(found.data.availability.days.length, 1);
    const box = mailbox();
    const watching = client.subscription(WATCH, { input }).subscribe((result) => {
      box.push(result.data?.availability ?? result.error);
    });
    await hearsAllOf(box.next);
    watching.unsubscribe();
    const refused = await client.query(FREE, { input: { ...input, timeZone: "Mars/Base" } }).toPromise();
    assert.equal(refused.error.graphQLErrors[0].extensions.code, "BAD_INPUT");
    const held = await client.mutation(HOLD, { input: { serviceId: world.serviceId, startsAt: takeStart() } }).toPromise();
    assert.equal(held.data.holdSlot.__typename, "HoldSlotPayload", JSON.stringify(held.data));
  });
}

test("the audit of graphql-http: all of it, with introspection on, and no warning", async () => {
  assert.equal((await post("{ __schema { queryType { name } } }")).data.__schema.queryType.name, "Query");
  const results = await auditServer({ url: world.url, fetchFn: fetch });
  const unhappy = results.filter((result) => result.status !== "ok").map(({ id, name, status, reason }) => ({ id, name, status, reason }));
  assert.deepEqual(unhappy, []);
  assert.equal(results.length, 61);
});
