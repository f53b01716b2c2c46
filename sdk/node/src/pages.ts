/** `openflagship/pages`: one user's answers, for a page to begin with before the network has answered it. */

import { createHmac, timingSafeEqual } from "node:crypto";
import type { UserContext } from "./client/contexts.js";
import type { FlagShip } from "./client/flagship.js";
import type { Answer } from "./engine/answer.js";
import { Context } from "./engine/context.js";
import type { FlagDefinition } from "./engine/model.js";

type Scalars = Record<string, string | number | boolean>;

/** The body of OFREP's bulk answer with the SDK's own reasons: `bootstrap` of `openflagship-web`, for this user alone. */
export interface PageAnswers {
  readonly flags: readonly { readonly key: string; readonly metadata?: Readonly<Scalars> }[];
  readonly metadata: { readonly configVersion: number; readonly targetingKey: string };
}

/** The same as text, with a signature for whoever passes it on: a cache, an edge worker, another service. */
export interface SignedPageAnswers {
  readonly answers: string;
  readonly signature: string;
}

// What the platform says goes before a flag's own metadata.
const OWN_NAMES: ReadonlySet<string> = new Set([
  "evaluationId",
  "bucketBy",
  "exposures",
  "experiment",
  "ruleId",
  "stale",
]);

/** All flags for one user. It records no exposures: the page does, for what it shows. */
export function pageAnswers(client: FlagShip, context?: UserContext): PageAnswers {
  const { flags, version: configVersion } = client.environment;
  const answers = Object.entries(client.allDetails(context)).map(([key, answer]) =>
    answer.errorCode === undefined
      ? success(key, answer, flags.get(key)?.definition)
      : { key, errorCode: answer.errorCode, errorDetails: answer.detail ?? "" },
  );
  return { flags: answers, metadata: { configVersion, targetingKey: userIdOf(context) ?? "" } };
}

/** The same, signed with the environment's signing secret. Throws `TypeError` for an empty secret. */
export function signedPageAnswers(client: FlagShip, context: UserContext, secret: string): SignedPageAnswers {
  const answers = JSON.stringify(pageAnswers(client, context));
  return { answers, signature: signatureOf(answers, secret) };
}

/** The answers of what `signedPageAnswers` gave. Throws `TypeError` where it is not as it was signed. */
export function verifiedPageAnswers({ answers, signature }: SignedPageAnswers, secret: string): PageAnswers {
  const [given, wanted] = [String(signature), signatureOf(String(answers), secret)].map((text) => Buffer.from(text));
  if (given?.length !== wanted?.length || !timingSafeEqual(given as Buffer, wanted as Buffer)) {
    throw new TypeError("signature: It is not that of these answers under this secret.");
  }
  return JSON.parse(answers) as PageAnswers;
}

/** What a `<script type="application/json">` may hold: a `<` in a value must not end the script. */
export function inScript(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function userIdOf(context: UserContext): string | undefined {
  if (context instanceof Context) return context.userId;
  const isMany = typeof context === "object" && context !== null;
  return new Context(isMany ? (context.userId ?? context.targetingKey) : context).userId;
}

function success(key: string, answer: Answer, flag: FlagDefinition | undefined) {
  const { value, variant, reason, ruleId, experiment, stale } = answer;
  const metadata: Scalars = {};
  for (const [name, one] of Object.entries(flag?.metadata ?? {})) if (!OWN_NAMES.has(name)) metadata[name] = one;
  if (flag?.logsExperimentsAlone) metadata.exposures = "experiments";
  if (ruleId !== undefined) metadata.ruleId = ruleId;
  if (experiment !== undefined) metadata.experiment = experiment;
  if (stale) metadata.stale = true;
  const bucketBy = flag?.bucketBy.join() ?? "userId";
  if (bucketBy !== "userId") metadata.bucketBy = bucketBy;
  return { key, reason, variant: variant ?? "", value, metadata };
}

function signatureOf(text: string, secret: string): string {
  if (typeof secret !== "string" || secret.trim() === "") throw new TypeError("secret: It is empty; give a secret.");
  return `sha256=${createHmac("sha256", secret).update(text).digest("hex")}`;
}
