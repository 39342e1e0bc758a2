// As much of a browser as the pages of the guides need: their script runs as it is in the document.

import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { WebSocket as WebSocketOfPackage } from "ws";

const HERE = "http://127.0.0.1:8000";

/** An element keeps what it was told, so that a test can look at all of it. */
class Element {
  children = [];
  told = [];
  #text;

  constructor(text = "") {
    this.#text = text;
  }

  get textContent() {
    return this.#text;
  }

  set textContent(text) {
    this.#text = text;
    this.told.push(text);
  }

  get items() {
    return this.children.map((child) => child.textContent);
  }

  replaceChildren(...children) {
    this.children = children;
  }
}

export const readGuide = (name) => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8");

/** The first page of a guide, opened. `server`: where it is, in the place of the address in the document. */
export function openPage(guide, server) {
  const html = /```html\n(.*?)```/s.exec(readGuide(guide))[1];
  const script = /<script>\n(.*?)<\/script>/s.exec(html)[1];
  if (!script.includes(HERE)) throw new Error(`${guide} names another server`);
  const ids = new Map([...html.matchAll(/<\w+[^>]* id="(\w+)"/g)].map(([, id]) => [id, new Element()]));
  const tags = new Map([...html.matchAll(/<(h1)[^>]*>([^<]*)</g)].map(([, tag, said]) => [tag, new Element(said)]));
  const document = {
    getElementById: (id) => ids.get(id) ?? null,
    querySelector: (tag) => tags.get(tag) ?? null,
    createElement: () => new Element(),
  };
  // By chance it would wait longer than it must before it comes back.
  const math = Object.assign(Object.create(Math), { random: () => 0 });
  const sockets = [];
  const Sockets = class extends (globalThis.WebSocket ?? WebSocketOfPackage) {
    constructor(...given) {
      super(...given);
      sockets.push(this);
      // The package's own throws where nobody listens, as when it is cut while it opens; a browser's does not.
      this.addEventListener("error", () => undefined);
    }
  };
  const sources = [];
  const Sources = class extends EventStream {
    constructor(url) {
      super(url);
      sources.push(this);
    }
  };
  const names = ["document", "WebSocket", "EventSource", "Math"];
  new Function(...names, script.replaceAll(HERE, server))(document, Sockets, Sources, math);
  return {
    at: (id) => ids.get(id) ?? tags.get(id),
    close() {
      for (const socket of sockets) {
        socket.onclose = null;
        socket.close();
      }
      for (const source of sources) source.close();
    },
  };
}

/** EventSource, which Node.js has only behind a flag; but it comes back twenty times as soon as it was told to. */
class EventStream {
  static CLOSED = 2;
  readyState = 0;
  #listeners = new Map();
  #ending = new AbortController();
  #lastEventId = "";
  #retryMs = 3_000;

  constructor(url) {
    this.#read(url);
  }

  addEventListener(type, listener) {
    this.#listeners.set(type, listener);
  }

  close() {
    this.readyState = EventStream.CLOSED;
    this.#ending.abort();
  }

  async #read(url) {
    while (this.readyState !== EventStream.CLOSED) {
      try {
        const headers = { accept: "text/event-stream", ...(this.#lastEventId ? { "last-event-id": this.#lastEventId } : {}) };
        const answer = await fetch(url, { headers, signal: this.#ending.signal });
        if (answer.status !== 200) this.readyState = EventStream.CLOSED;
        else await this.#take(answer.body);
      } catch (error) {
        if (!(error instanceof TypeError) && error.name !== "AbortError") throw error;
      }
      if (this.#ending.signal.aborted) return;
      this.onerror?.();
      await new Promise((resolve) => setTimeout(resolve, this.#retryMs / 20));
    }
  }

  async #take(body) {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of body) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) this.#dispatch(new Map(block.split("\n").map((line) => line.split(/: ?(.*)/s))));
    }
  }

  #dispatch(fields) {
    if (fields.has("retry")) this.#retryMs = Number(fields.get("retry"));
    if (fields.has("id")) this.#lastEventId = fields.get("id");
    if (!fields.has("data")) return;
    const type = fields.get("event") ?? "message";
    this.#listeners.get(type)?.({ type, data: fields.get("data"), lastEventId: this.#lastEventId });
  }
}

/** A way to the server that can be cut, and closed for a while. */
export async function cable(target) {
  const { hostname, port } = new URL(target);
  const plugs = new Set();
  let isOpen = true;
  const server = createServer((near) => {
    if (!isOpen) return void near.destroy();
    const far = connect(Number(port), hostname);
    for (const [plug, other] of [[near, far], [far, near]]) {
      plugs.add(plug);
      plug.on("error", () => undefined).on("close", () => {
        plugs.delete(plug);
        other.destroy();
      });
      plug.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => plugs.forEach((plug) => plug.resetAndDestroy());
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Nobody gets through until `mend`. */
    cut() {
      isOpen = false;
      cut();
    },
    mend: () => (isOpen = true),
    close() {
      cut();
      server.close();
    },
  };
}
