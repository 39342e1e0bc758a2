import { getOperationAST } from "graphql";
import { createClient } from "graphql-ws";

/**
 * The function GraphiQL calls for each operation: queries and mutations go over HTTP POST, subscriptions over
 * graphql-transport-ws to the same address. What is typed in the Headers pane becomes HTTP headers there and the
 * connection_init payload here, so one `{"Authorization": "Bearer …"}` serves both.
 */
export function createFetcher(endpoint) {
  const httpUrl = new URL(endpoint, window.location.href);
  const socketUrl = new URL(httpUrl);
  socketUrl.protocol = httpUrl.protocol === "https:" ? "wss:" : "ws:";

  return (request, options = {}) =>
    isSubscription(request, options.documentAST)
      ? watch(socketUrl.href, request, options.headers)
      : post(httpUrl.href, request, options.headers);
}

function isSubscription(request, document) {
  return document ? getOperationAST(document, request.operationName)?.operation === "subscription" : false;
}

async function post(url, request, headers) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json, application/json;q=0.9",
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's error page, say: the status is what helps then.
    throw new Error(`HTTP ${response.status} ${response.statusText}: the answer is not JSON.`);
  }
}

/** An observable of results. Each has a socket of its own, since the headers may have changed since the last one. */
function watch(url, request, headers) {
  return {
    subscribe(sink) {
      const client = createClient({ url, connectionParams: headers ?? {} });
      const unsubscribe = client.subscribe(request, {
        next: (result) => sink.next(result),
        error: (reason) => sink.error(describe(reason)),
        complete: () => sink.complete(),
      });
      return { unsubscribe };
    },
  };
}

function describe(reason) {
  if (reason instanceof CloseEvent) {
    return new Error(`The socket was closed: ${reason.code} ${reason.reason}`.trim());
  }
  if (reason instanceof Event) {
    return new Error("The socket could not be opened.");
  }
  return reason;
}
