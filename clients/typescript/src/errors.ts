/** One error of an answer, as the server tells it. `extensions.code` says which kind it is. */
export interface ServerError {
  readonly message: string;
  readonly path?: ReadonlyArray<string | number>;
  readonly extensions?: { readonly code?: string; readonly [name: string]: unknown };
}

/** The server answered, and what it said is no. Trying the same again does not help, but for `isPassing`. */
export class OperationError extends Error {
  readonly errors: ReadonlyArray<ServerError>;

  constructor(errors: ReadonlyArray<ServerError>) {
    super(errors.map((error) => error.message).join(" ") || "The server gave no reason.");
    this.name = "OperationError";
    this.errors = errors;
  }

  /** The codes, in the order of the errors: BAD_INPUT, NOT_FOUND, UNAUTHENTICATED, RATE_LIMITED, UNAVAILABLE … */
  get codes(): string[] {
    return this.errors.map((error) => error.extensions?.code ?? "");
  }

  /** Would the same succeed a little later? */
  get isPassing(): boolean {
    return this.errors.length > 0 && this.codes.every((code) => code === "UNAVAILABLE" || code === "RATE_LIMITED");
  }

  /** How long the server asks to wait at least, in milliseconds. */
  get retryAfterMs(): number {
    const seconds = this.errors.map((error) => error.extensions?.["retryAfterSeconds"]);
    return 1000 * Math.max(0, ...seconds.filter((value) => typeof value === "number"));
  }
}

/** The socket was closed in a way that coming back does not mend. */
export class ConnectionRefused extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason || `The server closed the connection (${code}).`);
    this.name = "ConnectionRefused";
    this.code = code;
  }

  /** How long the server asks to wait at least, in milliseconds. A close frame has no room for more than words. */
  get retryAfterMs(): number {
    return 1000 * Number(/\bin (\d+) s\b/.exec(this.message)?.[1] ?? 0);
  }
}
