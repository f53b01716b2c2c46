/** The evaluation engine: the same document gives the same answer in every language. It knows no storage or network. */

export { type Answer, type ErrorCode, type OpenFeatureReason, Outcome, type Reason } from "./answer.js";
export { type Attributes, Context, type Refusal } from "./context.js";
export { CONTRACT, DocumentError, type Documents, Environment, FEATURES } from "./environment.js";
export { bucket, PrefixHash } from "./hash.js";
export type { FlagType } from "./model.js";
