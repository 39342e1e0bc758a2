import { endable } from "./endable.js";
import { ConnectionRefused, OperationError, type ServerError } from "./errors.js";
import type { TypedDocumentString } from "./generated/operations.js";
import { Line } from "./line.js";
import { Waiting } from "./waiting.js";

/** `connecting`: for the first time, or again. `live`: told of changes. `waiting`: cut off, about to try again. */
export type StreamState = "connecting" | "live" | "waiting";

export interface ClientOptions {
  /** Address of the API: `https://book.example/graphql`. */
  readonly url: string;
  /** The access token for the next request or socket; asked for again when the server says that it is over. */
  readonly accessToken?: () => string | null | Promise<string | null>;
  /** What this installation calls itself, 1 to 64 of `A-Z a-z 0-9 _ -`, made once and kept: limits count by it. */
  readonly clientId?: string;
  /** Pauses before coming back, in milliseconds: at first 250, at most 10,000. */
  readonly firstPauseMs?: number;
  readonly longestPauseMs?: number;
  /** A server that does not answer a ping for so long is taken for gone, in milliseconds: 10,000. */
  readonly silenceMs?: number;
  readonly fetch?: typeof fetch;
  /** A WebSocket class, for programs whose platform has none. */
  readonly webSocket?: unknown;
}

export interface ExecuteOptions {
  readonly signal?: AbortSignal;
  /** With the same key the same mutation happens once, however often it is sent. */
  readonly idempotencyKey?: string;
}

export interface WatchOptions {
  /** Ends the stream, without an error. */
  readonly signal?: AbortSignal;
  readonly onState?: (state: StreamState) => void;
  /** For `presence`, which has no cursor: after a cut it begins anew. */
  readonly withoutCursor?: boolean;
}

/** What every event of a stream has. */
export interface StreamEvent {
  readonly cursor: string;
}

type Event<R> = R extends { readonly [field: string]: infer E } ? E : never;

const TOKEN_OVER = 4403;
/** Closed for what this client did: it would only do so again. */
const OUR_FAULT = new Set([1009, 4400, 4401, 4406, 4409]);

/** One server. Its streams share one socket, which is opened for the first and closed after the last. */
export class TurneroClient {
  readonly #options: ClientOptions;
  readonly #closing = new AbortController();
  #line: Line | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** Sends a query or a mutation. Throws OperationError, or what `fetch` throws. */
  async execute<R, V extends object>(
    document: TypedDocumentString<R, V>,
    variables: V,
    options: ExecuteOptions = {},
  ): Promise<R> {
    const headers: Record<string, string> = {
      "content-type": "application/json",
      accept: "application/graphql-response+json, application/json",
    };
    const token = await this.#options.accessToken?.();
    if (token) headers["authorization"] = `Bearer ${token}`;
    if (options.idempotencyKey !== undefined) headers["idempotency-key"] = options.idempotencyKey;
    const answer = await (this.#options.fetch ?? fetch)(this.#options.url, {
      method: "POST",
      headers,
      body: JSON.stringify({ query: String(document), variables }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const { data, errors } = await readAnswer<R>(answer);
    if (errors !== undefined && errors.length > 0) throw new OperationError(errors);
    if (data === undefined || data === null) throw new OperationError([{ message: `No data (${answer.status}).` }]);
    return data;
  }

  /**
   * The events of a subscription, through cuts, restarts and expired tokens: each goes on behind the last event that
   * was taken. The document takes `$after` and selects `cursor`. Ends with the stream, by the signal, by `return()` and
   * with the client; throws OperationError for what the server refuses, ConnectionRefused, and what `accessToken` throws.
   */
  watch<R extends object, V extends object>(
    document: TypedDocumentString<R, V>,
    variables: V,
    options: WatchOptions = {},
  ): AsyncGenerator<Event<R>, void, undefined> {
    const signals = [options.signal, this.#closing.signal];
    return endable((signal) => this.#events(document, variables, options, signal), ...signals);
  }

  async *#events<R extends object, V extends object>(
    document: TypedDocumentString<R, V>,
    variables: V,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Event<R>, void, undefined> {
    const waiting = new Waiting(this.#options.firstPauseMs ?? 250, this.#options.longestPauseMs ?? 10_000);
    const line = (this.#line ??= this.#openLine());
    let resumed: object = variables;
    let isTokenNew = true;
    while (!signal.aborted) {
      options.onState?.("connecting");
      let failure: unknown;
      try {
        for await (const data of line.results<R>(String(document), { ...resumed }, signal)) {
          const event = onlyField(data);
          if (options.withoutCursor !== true) resumed = { ...variables, after: cursorOf(event) };
          waiting.reset();
          isTokenNew = true;
          options.onState?.("live");
          yield event as Event<R>;
        }
        return;
      } catch (error) {
        failure = error;
      }
      if (signal.aborted) return;
      const reason = asError(failure);
      const isTokenOver = reason instanceof ConnectionRefused && reason.code === TOKEN_OVER;
      if (isTokenOver ? !(isTokenNew && this.#options.accessToken) : !mayComeBack(reason)) throw reason;
      isTokenNew = !isTokenOver;
      options.onState?.("waiting");
      await waiting.pause(retryAfterMs(reason), signal);
    }
  }

  #openLine(): Line {
    const { url, silenceMs = 10_000, webSocket, clientId, accessToken } = this.#options;
    return new Line({
      url: url.replace(/^http/, "ws"),
      silenceMs,
      webSocket,
      init: async () => {
        const token = await accessToken?.();
        return { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(clientId ? { clientId } : {}) };
      },
    });
  }

  /** Ends all streams, and closes the socket. There will be no others. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#line?.close();
  }
}

async function readAnswer<R>(answer: Response): Promise<{ data?: R | null; errors?: ServerError[] }> {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new OperationError([{ message: `Status ${answer.status}, and not JSON: ${text.slice(0, 200)}` }]);
  }
}

function onlyField(data: object): unknown {
  const events = Object.values(data);
  if (events.length !== 1) throw new TypeError("A subscription has one field.");
  return events[0];
}

function cursorOf(event: unknown): string {
  const cursor = (event as Partial<StreamEvent> | null)?.cursor;
  if (typeof cursor !== "string") {
    throw new TypeError("A subscription that is to be resumed takes `$after`, and selects its field's `cursor`.");
  }
  return cursor;
}

/** What graphql-ws throws: errors of the operation as a list, or the event that closed the socket. */
function asError(failure: unknown): Error {
  if (Array.isArray(failure)) return new OperationError(failure);
  if (failure instanceof Error && !("code" in failure)) return failure;
  const { code, reason } = failure as { code?: unknown; reason?: unknown };
  if (typeof code === "number") return new ConnectionRefused(code, typeof reason === "string" ? reason : "");
  return failure instanceof Error ? failure : new ConnectionRefused(1006, "The server cannot be reached.");
}

function mayComeBack(reason: Error): boolean {
  if (reason instanceof OperationError) return reason.isPassing;
  return reason instanceof ConnectionRefused && !OUR_FAULT.has(reason.code);
}

function retryAfterMs(reason: Error): number {
  return reason instanceof OperationError || reason instanceof ConnectionRefused ? reason.retryAfterMs : 0;
}
