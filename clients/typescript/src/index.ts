export { type AvailabilityEvent, type AvailabilityView, foldAvailability, type Slot, watchAvailability } from "./availability.js";
export {
  type ClientOptions,
  type ExecuteOptions,
  type StreamEvent,
  type StreamState,
  TurneroClient,
  type WatchOptions,
} from "./client.js";
export { ConnectionRefused, OperationError, type ServerError } from "./errors.js";
export * from "./generated/operations.js";
/** Every type of the schema, for operations of one's own. */
export type * as Schema from "./generated/schema.js";
