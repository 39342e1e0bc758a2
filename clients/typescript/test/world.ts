// The server that the tests run against: `make test` starts it and says where it is.

import { connect, createServer, type Server, type Socket } from "node:net";
import { WebSocket as WebSocketOfTests } from "ws";
import { TurneroClient, type AvailabilityInput, type ClientOptions } from "../src/index.js";

export interface World {
  readonly url: string;
  readonly serviceId: string;
  readonly providerId: string;
  readonly day: string;
  readonly starts: ReadonlyArray<string>;
  readonly token: string;
}

export const world: World = JSON.parse(process.env["TURNERO_WORLD"] ?? "{}");

export const wholeDay: AvailabilityInput = {
  serviceId: world.serviceId,
  from: world.day,
  to: world.day,
  timeZone: "UTC",
};

export function open(options: Partial<ClientOptions> = {}): TurneroClient {
  return new TurneroClient({ url: world.url, firstPauseMs: 5, longestPauseMs: 50, webSocket: globalThis.WebSocket ?? WebSocketOfTests, ...options });
}

/** A way to the server that can be cut, frozen, and closed for a while. */
export class Cable {
  readonly #server: Server;
  readonly #plugs = new Set<Socket>();
  #isOpen = true;
  connections = 0;

  private constructor(host: string, port: number) {
    this.#server = createServer((near) => {
      if (!this.#isOpen) {
        near.destroy();
        return;
      }
      this.connections += 1;
      const far = connect(port, host);
      for (const [plug, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#plugs.add(plug);
        plug.on("error", () => undefined).on("close", () => {
          this.#plugs.delete(plug);
          other.destroy();
        });
        plug.pipe(other);
      }
    });
  }

  static async to(url: string): Promise<Cable> {
    const { hostname, port } = new URL(url);
    const cable = new Cable(hostname, Number(port));
    await new Promise<void>((resolve) => cable.#server.listen(0, "127.0.0.1", resolve));
    return cable;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    const url = new URL(world.url);
    url.port = String(address.port);
    return url.href;
  }

  /** As a server that fell asleep: nothing passes any more, and nobody is told. Who connects from now on gets through. */
  freeze(): void {
    for (const plug of this.#plugs) plug.unpipe().pause();
  }

  /** As if somebody pulled it: no goodbye. `closedMs`: nobody gets through for so long. */
  cut(closedMs = 0): void {
    this.#isOpen = closedMs === 0;
    for (const plug of this.#plugs) plug.resetAndDestroy();
    if (closedMs > 0) setTimeout(() => (this.#isOpen = true), closedMs);
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

