/** FlagShip's SDK for Node. */

export type { ChangeListener } from "./client/announcer.js";
export type { UserAttributes, UserContext } from "./client/contexts.js";
export type { JsonValue } from "./client/evaluation.js";
export { FlagShip, type Status } from "./client/flagship.js";
export type { Answered, Hook, Question } from "./client/hooks.js";
export type { Logger } from "./client/logger.js";
export type { EventBody, Mode, Options } from "./client/options.js";
export type { Answer, ErrorCode, OpenFeatureReason, Reason } from "./engine/index.js";
export type { ChangedKeys, Source } from "./following/configuration.js";
export {
  FileStore,
  type Kept,
  MemoryStore,
  type RedisCommand,
  RedisStore,
  type SnapshotStore,
} from "./keeping/stores.js";
export type { TrackDetails } from "./sending/events.js";
export { VERSION } from "./version.js";
