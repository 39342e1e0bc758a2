const HISTORY_KEYS = new Set(["graphiql:queries", "graphiql:favorites"]);

/**
 * The browser's local storage for GraphiQL's tabs and history, without what was typed in the Headers pane.
 * GraphiQL leaves headers out of stored tabs but not out of its history, which would keep access tokens on disk.
 */
export const storageWithoutHeaders = {
  get length() {
    return ownKeys().length;
  },
  getItem: (key) => window.localStorage.getItem(key),
  removeItem: (key) => window.localStorage.removeItem(key),
  setItem(key, value) {
    window.localStorage.setItem(key, HISTORY_KEYS.has(key) ? withoutHeaders(value) : value);
  },
  clear() {
    ownKeys().forEach((key) => window.localStorage.removeItem(key));
  },
};

function ownKeys() {
  return Object.keys(window.localStorage).filter((key) => key.startsWith("graphiql:"));
}

function withoutHeaders(text) {
  return JSON.stringify(JSON.parse(text), (key, value) => (key === "headers" ? undefined : value));
}
