/** Between two attempts: longer each time, and by chance, so that not everybody comes back in the same moment. */
export class Waiting {
  #next: number;

  constructor(
    readonly firstMs: number,
    readonly longestMs: number,
  ) {
    this.#next = firstMs;
  }

  /** It worked. */
  reset(): void {
    this.#next = this.firstMs;
  }

  /** Resolves after the next pause, or at once when the signal is aborted. */
  async pause(atLeastMs: number, signal: AbortSignal | undefined): Promise<void> {
    const pauseMs = Math.max(atLeastMs, this.#next) * (0.5 + Math.random());
    this.#next = Math.min(this.#next * 2, this.longestMs);
    await new Promise<void>((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(atLeastMs, pauseMs));
      signal?.addEventListener("abort", done);
    });
  }
}
