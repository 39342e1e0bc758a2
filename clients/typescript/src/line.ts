import { type Client, createClient } from "graphql-ws";
import { OperationError, type ServerError } from "./errors.js";

export interface LineOptions {
  readonly url: string;
  readonly silenceMs: number;
  /** What `connection_init` carries. */
  readonly init: () => Promise<Record<string, unknown>>;
  readonly webSocket: unknown;
}

type Results = ReturnType<Client["iterate"]>;

const NORMAL = 1000;

/** One socket of graphql-transport-ws for all streams: opened for the first, closed after the last. */
export class Line {
  readonly #client: Client;
  readonly #streams = new Set<Results>();
  readonly #silenceMs: number;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #isOpen = false;
  /** The last stream ended, so the socket is closed by us. */
  #isLeaving = false;

  constructor(options: LineOptions) {
    this.#silenceMs = options.silenceMs;
    this.#client = createClient({
      url: options.url,
      webSocketImpl: withoutLooseErrors(options.webSocket ?? globalThis.WebSocket),
      connectionParams: options.init,
      // A stream that is cut comes back by itself, since it has to ask with another cursor.
      retryAttempts: 0,
      shouldRetry: () => false,
      keepAlive: options.silenceMs,
      on: {
        connecting: () => {
          this.#isLeaving = false;
          this.#expectAnswer();
        },
        opened: () => this.#hasAnswered(),
        connected: () => (this.#isOpen = true),
        ping: (isReceived) => {
          if (!isReceived) this.#expectAnswer();
        },
        pong: (isReceived) => {
          if (isReceived) this.#hasAnswered();
        },
        closed: (event) => this.#closed(event),
      },
    });
  }

  /** What an operation is answered, until the signal. Throws OperationError, or what closed the socket. */
  async *results<R>(query: string, variables: Record<string, unknown>, signal: AbortSignal): AsyncGenerator<R> {
    const results: Results = this.#client.iterate({ query, variables });
    const stop = (): void => void results.return?.();
    this.#streams.add(results);
    signal.addEventListener("abort", stop);
    try {
      for await (const { data, errors } of results) {
        if (errors !== undefined && errors.length > 0) throw new OperationError(errors as ReadonlyArray<ServerError>);
        if (data !== undefined && data !== null) yield data as R;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#streams.delete(results);
      this.#isLeaving = this.#streams.size === 0;
    }
  }

  /** After its streams were ended. */
  async close(): Promise<void> {
    if (!this.#isOpen) this.#client.terminate();
    await this.#client.dispose();
  }

  #expectAnswer(): void {
    this.#hasAnswered();
    this.#silence = setTimeout(() => this.#client.terminate(), this.#silenceMs);
  }

  #hasAnswered(): void {
    clearTimeout(this.#silence);
  }

  #closed(event: unknown): void {
    this.#hasAnswered();
    this.#isOpen = false;
    // graphql-ws takes a normal end for a reason to subscribe again at once, with the cursor of long ago.
    if ((event as { code?: unknown }).code !== NORMAL || this.#isLeaving) return;
    for (const results of this.#streams) {
      void results.throw?.(event);
      void results.return?.();
    }
  }
}

/** A socket of the package `ws` that fails after graphql-ws let go of it would end the whole program. */
function withoutLooseErrors(webSocket: unknown): unknown {
  if (typeof webSocket !== "function") throw new TypeError("There is no WebSocket here: give one as `webSocket`.");
  const Base = webSocket as new (url: string, protocols: string) => WebSocket;
  return class extends Base {
    constructor(url: string, protocols: string) {
      super(url, protocols);
      this.addEventListener("error", () => undefined);
    }
  };
}
