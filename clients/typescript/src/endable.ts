/**
 * What `make` yields, until one of the signals. `return()` ends it at once, also while somebody waits for the next value,
 * where that of a bare async generator would wait, too.
 */
export function endable<T>(
  make: (signal: AbortSignal) => AsyncGenerator<T, void, undefined>,
  ...signals: ReadonlyArray<AbortSignal | undefined>
): AsyncGenerator<T, void, undefined> {
  const ending = new AbortController();
  const end = (): void => {
    ending.abort();
    for (const signal of signals) signal?.removeEventListener("abort", end);
  };
  for (const signal of signals) signal?.addEventListener("abort", end);
  if (signals.some((signal) => signal?.aborted)) end();
  async function* values(): AsyncGenerator<T, void, undefined> {
    try {
      yield* make(ending.signal);
    } finally {
      end();
    }
  }
  const made = values();
  const finish = made.return.bind(made);
  made.return = () => {
    end();
    return finish();
  };
  return made;
}
