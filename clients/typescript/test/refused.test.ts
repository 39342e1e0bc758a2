// What the client does when a socket is closed, or never answers: told by a server that does it on purpose.

import assert from "node:assert/strict";
import { createServer, type AddressInfo, type Server } from "node:net";
import { test } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { ConnectionRefused, OperationError, type TurneroClient, WatchSessionDocument } from "../src/index.js";
import { Waiting } from "../src/waiting.js";
import { open } from "./world.js";

type Ending = (socket: WebSocket, number: number) => void;

/** Tells each subscription one event, with the next cursor, and then does as it is told. */
class Teller {
  readonly after: unknown[] = [];
  readonly inits: unknown[] = [];
  readonly #server: WebSocketServer;

  private constructor(ending: Ending) {
    this.#server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    this.#server.on("connection", (socket) => {
      socket.on("message", (data) => {
        const message = JSON.parse(String(data));
        if (message.type === "connection_init") {
          this.inits.push(message.payload);
          socket.send(JSON.stringify({ type: "connection_ack" }));
        }
        if (message.type !== "subscribe") return;
        const number = this.after.push(message.payload.variables.after);
        const session = { kind: "CHANGE", cursor: `c${number}` };
        socket.send(JSON.stringify({ id: message.id, type: "next", payload: { data: { session } } }));
        ending(socket, number);
      });
    });
  }

  static async who(ending: Ending): Promise<Teller> {
    const teller = new Teller(ending);
    await new Promise<void>((resolve) => teller.#server.once("listening", resolve));
    return teller;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/graphql`;
  }

  close(): void {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
  }
}

const watch = (client: TurneroClient, options = {}) => client.watch(WatchSessionDocument, { id: "ses_1" }, options);

const PASSING = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429, 4499, 4500];

for (const code of PASSING) {
  test(`closed with ${code}, it comes back behind the last event`, async () => {
    const teller = await Teller.who((socket, number) => {
      if (number >= 3) return;
      if (code === 1006) setImmediate(() => socket.terminate());
      else if (code === 1005) socket.close();
      else socket.close(code, "Try again");
    });
    const client = open({ url: teller.url });
    const events = watch(client);
    const cursors = [];
    for (let number = 0; number < 3; number += 1) cursors.push((await events.next()).value?.cursor);
    assert.deepEqual(cursors, ["c1", "c2", "c3"]);
    assert.deepEqual(teller.after, [undefined, "c1", "c2"]);
    await client.close();
    assert.equal((await events.next()).done, true);
    teller.close();
  });
}

test("a stream that takes the place of another is told nothing twice either", async () => {
  const teller = await Teller.who((socket, number) => void (number === 2 && socket.close(1000, "Bye")));
  const client = open({ url: teller.url });
  const one = watch(client);
  await one.next();
  const [other] = [watch(client), one.return()];
  const cursors = [(await other.next()).value?.cursor, (await other.next()).value?.cursor];
  assert.deepEqual([cursors, teller.after], [["c2", "c3"], [undefined, undefined, "c2"]]);
  await client.close();
  teller.close();
});

for (const code of [1009, 4400, 4401, 4406, 4409]) {
  test(`closed with ${code}, it does not come back`, async () => {
    const teller = await Teller.who((socket) => socket.close(code, "No"));
    const client = open({ url: teller.url });
    const events = watch(client);
    await events.next();
    await assert.rejects(events.next(), (error: unknown) => error instanceof ConnectionRefused && error.code === code);
    assert.equal((await events.next()).done, true);
    assert.equal(teller.after.length, 1);
    await client.close();
    teller.close();
  });
}

test("a token that is over is renewed, as often as it was good for something", async () => {
  const teller = await Teller.who((socket, number) => void (number < 3 && socket.close(4403, "Forbidden")));
  let count = 0;
  const client = open({ url: teller.url, clientId: "till-1", accessToken: async () => `t${(count += 1)}` });
  const events = watch(client);
  for (let number = 0; number < 3; number += 1) await events.next();
  const init = (token: string) => ({ authorization: `Bearer ${token}`, clientId: "till-1" });
  assert.deepEqual(teller.inits, [init("t1"), init("t2"), init("t3")]);
  assert.deepEqual(teller.after, [undefined, "c1", "c2"]);
  await client.close();
  teller.close();
});

test("without a token there is none to renew", async () => {
  const teller = await Teller.who((socket) => socket.close(4403, "Forbidden"));
  const client = open({ url: teller.url });
  const events = watch(client);
  await events.next();
  await assert.rejects(events.next(), (error: unknown) => error instanceof ConnectionRefused && error.code === 4403);
  teller.close();
});

test("what accessToken throws is thrown", async () => {
  const teller = await Teller.who(() => undefined);
  const over = new Error("sign in again");
  const client = open({ url: teller.url, accessToken: () => Promise.reject(over) });
  await assert.rejects(watch(client).next(), (error) => error === over);
  await client.close();
  teller.close();
});

test("a server that takes the connection and says nothing is given up, and tried again", async () => {
  let connections = 0;
  const silent: Server = createServer((socket) => {
    connections += 1;
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const client = open({ url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}/graphql`, silenceMs: 30 });
  let waits = 0;
  const stop = new AbortController();
  const onState = (state: string): void => {
    if (state === "waiting" && (waits += 1) === 3) stop.abort();
  };
  assert.equal((await watch(client, { signal: stop.signal, onState }).next()).done, true);
  assert.ok(connections >= 3, `${connections} connections`);
  await client.close();
  silent.close();
});

test("without a WebSocket it says so, when one is needed", async () => {
  const client = open({ webSocket: "none" });
  await assert.rejects(watch(client).next(), TypeError);
});

test("pauses grow to the longest, differ by chance, and are never shorter than what the server asks", () => {
  const pauses = (atLeastMs: number): number[] => {
    const waiting = new Waiting(100, 1_000);
    return Array.from({ length: 8 }, () => waiting.nextMs(atLeastMs));
  };
  const expected = [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000];
  const first = new Set<number>();
  for (let round = 0; round < 200; round += 1) {
    pauses(0).forEach((pauseMs, number) => {
      assert.ok(pauseMs >= 0.5 * expected[number]! && pauseMs <= 1.5 * expected[number]!, `${number}: ${pauseMs}`);
    });
    const [pauseMs] = pauses(5_000);
    assert.ok(pauseMs! >= 5_000 && pauseMs! <= 7_500);
    first.add(Math.round(pauseMs! / 500));
  }
  assert.ok(first.size >= 4, "they would all come back in the same moment");
});

test("how long the server asks to wait is read", () => {
  const limited = new ConnectionRefused(4429, "Too many sockets and streams: at most 5 for one client. Try again in 5 s");
  assert.equal(limited.retryAfterMs, 5_000);
  assert.equal(new ConnectionRefused(1006, "").retryAfterMs, 0);
  assert.equal(new OperationError([{ message: "", extensions: { retryAfterSeconds: 2 } }]).retryAfterMs, 2_000);
});
