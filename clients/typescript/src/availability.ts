import type { TurneroClient, WatchOptions } from "./client.js";
import { endable } from "./endable.js";
import {
  type AvailabilityCause,
  type AvailabilityInput,
  type EventKind,
  type SlotFieldsFragment,
  WatchAvailabilityDocument,
} from "./generated/operations.js";

export type Slot = SlotFieldsFragment;

export interface AvailabilityEvent {
  readonly kind: EventKind;
  readonly cursor: string;
  readonly opened: ReadonlyArray<string>;
  readonly closed: ReadonlyArray<string>;
  readonly updated: ReadonlyArray<Slot>;
  readonly causes: ReadonlyArray<AvailabilityCause>;
}

/** The free slots as of one event. Views are never changed: each event gives another one. */
export interface AvailabilityView {
  readonly cursor: string;
  /** By start, in the order of time. At one start there may be several: other lengths, prices or people. */
  readonly slots: ReadonlyMap<string, ReadonlyArray<Slot>>;
  /** Why it is another one than before; empty for the first. */
  readonly causes: ReadonlyArray<AvailabilityCause>;
}

/** The view after an event. `view`: the one before, none for the first event. */
export function foldAvailability(view: AvailabilityView | null, event: AvailabilityEvent): AvailabilityView {
  const slots = new Map(event.kind === "CHANGE" && view !== null ? view.slots : []);
  for (const start of event.closed) slots.delete(start);
  const updated = new Map<string, Slot[]>();
  for (const slot of event.updated) {
    const known = updated.get(slot.startsAt);
    if (known === undefined) updated.set(slot.startsAt, [slot]);
    else known.push(slot);
  }
  for (const [start, found] of updated) slots.set(start, found);
  const inOrder = [...slots].sort(([one], [other]) => Date.parse(one) - Date.parse(other));
  return { cursor: event.cursor, slots: new Map(inOrder), causes: event.causes };
}

/** The free slots, anew after each change, through cuts and restarts. Ends by the signal; throws as `watch` does. */
export function watchAvailability(
  client: TurneroClient,
  input: AvailabilityInput,
  options: WatchOptions = {},
): AsyncGenerator<AvailabilityView, void, undefined> {
  return endable((signal) => views(client, input, { ...options, signal }), options.signal);
}

async function* views(
  client: TurneroClient,
  input: AvailabilityInput,
  options: WatchOptions,
): AsyncGenerator<AvailabilityView, void, undefined> {
  let view: AvailabilityView | null = null;
  for await (const event of client.watch(WatchAvailabilityDocument, { input }, options)) {
    view = foldAvailability(view, event);
    yield view;
  }
}
