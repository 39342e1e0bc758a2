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

  /** The next pause. `atLeastMs`: what the server asked for; some come sooner after it than others. */
  nextMs(atLeastMs: number): number {
    const pauseMs = Math.max(this.#next * (0.5 + Math.random()), atLeastMs * (1 + Math.random() / 2));
    this.#next = Math.min(this.#next * 2, this.longestMs);
    return pauseMs;
  }

  /** Resolves after the next pause, or at once when the signal is aborted. */
  async pause(atLeastMs: number, signal: AbortSignal): Promise<void> {
    const pauseMs = this.nextMs(atLeastMs);
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, pauseMs);
      signal.addEventListener("abort", done);
    });
  }
}
