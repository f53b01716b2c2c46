// Each SDK with the same store, as its own documentation has it: details asked for, events off.

import { FlagShip } from "../../sdk/node/dist/esm/index.js";

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

async function openflagship({ snapshot }) {
  const client = new FlagShip("", "http://offline.invalid", { mode: "offline", bootstrap: snapshot, logger: null });
  return {
    context: (userId, attributes) => ({ userId, ...attributes }),
    ask: (key, context) => client.getDetails(key, null, context).value,
    all: (context) => client.allDetails(context),
  };
}

async function flagdCore({ flags }) {
  const { FlagdCore, MemoryStorage } = await import("@openfeature/flagd-core");
  const operators = {
    equals: (name, value) => ({ "==": [{ var: name }, value] }),
    in: (name, value) => ({ in: [{ var: name }, value] }),
    greater_than: (name, value) => ({ ">": [{ var: name }, value] }),
    starts_with: (name, value) => ({ starts_with: [{ var: name }, value] }),
  };
  const targetingOf = ({ split, rules }) =>
    rules.length === 0
      ? { fractional: split.map(([variant, weight]) => [variant, weight / 100]) }
      : {
          if: rules.flatMap(([conditions, variant]) => [
            { and: conditions.map(([name, operator, value]) => operators[operator](name, value)) },
            variant,
          ]),
        };
  const document = Object.fromEntries(
    flags.map((flag) => [
      flag.key,
      { state: "ENABLED", variants: flag.values, defaultVariant: flag.variants.at(-1), targeting: targetingOf(flag) },
    ]),
  );
  const core = new FlagdCore(new MemoryStorage(QUIET), QUIET);
  core.setConfigurations(JSON.stringify({ flags: document }));
  return {
    context: (targetingKey, attributes) => ({ targetingKey, ...attributes }),
    ask: (key, context) =>
      key === "w1"
        ? core.resolveBooleanEvaluation(key, false, context, QUIET).value
        : core.resolveStringEvaluation(key, "", context, QUIET).value,
    all: (context) => core.resolveAll(context, QUIET),
  };
}

async function growthbook({ flags }) {
  const { GrowthBookClient } = await import("@growthbook/growthbook");
  const operators = {
    equals: (value) => value,
    in: (value) => ({ $in: value }),
    greater_than: (value) => ({ $gt: value }),
    starts_with: (value) => ({ $regex: `^${value}` }),
  };
  const conditionOf = (conditions) =>
    Object.fromEntries(conditions.map(([name, operator, value]) => [name, operators[operator](value)]));
  const rulesOf = ({ key, kind, split, rules, values }) => {
    if (kind === "boolean") return [{ force: true, coverage: 0.25, hashAttribute: "id" }];
    if (rules.length > 0)
      return rules.map(([conditions, variant]) => ({ condition: conditionOf(conditions), force: variant }));
    const weights = split.map(([, weight]) => weight / 10_000);
    return [{ key, variations: split.map(([variant]) => values[variant]), weights, hashAttribute: "id" }];
  };
  const features = Object.fromEntries(
    flags.map((flag) => [flag.key, { defaultValue: flag.values[flag.variants.at(-1)], rules: rulesOf(flag) }]),
  );
  const client = new GrowthBookClient().initSync({ payload: { features } });
  return {
    context: (id, attributes) => ({ attributes: { id, ...attributes } }),
    ask: (key, context) => client.evalFeature(key, context).value,
    all: (context) => flags.map(({ key }) => client.evalFeature(key, context)),
  };
}

async function unleash({ flags }) {
  const { Unleash } = await import("unleash-client");
  const operators = {
    equals: (value) => ({ operator: "IN", values: [value] }),
    in: (value) => ({ operator: "IN", values: value }),
    greater_than: (value) => ({ operator: "NUM_GT", value: String(value) }),
    starts_with: (value) => ({ operator: "STR_STARTS_WITH", values: [value] }),
  };
  const strategyOf = (rollout, key, rest = {}) => ({
    name: "flexibleRollout",
    parameters: { rollout: String(rollout), stickiness: "userId", groupId: key },
    constraints: [],
    ...rest,
  });
  const variantOf = (name, weight = 1_000) => ({ name, weight, weightType: "fix", stickiness: "userId" });
  const strategiesOf = ({ key, kind, split, rules }) => {
    if (kind === "boolean") return [strategyOf(25, key)];
    if (rules.length === 0) {
      return [strategyOf(100, key, { variants: split.map(([variant, weight]) => variantOf(variant, weight / 10)) })];
    }
    return rules.map(([conditions, variant]) =>
      strategyOf(100, key, {
        constraints: conditions.map(([contextName, operator, value]) => ({
          contextName,
          ...operators[operator](value),
        })),
        variants: [variantOf(variant)],
      }),
    );
  };
  const data = flags.map((flag) => ({
    name: flag.key,
    enabled: true,
    type: "release",
    strategies: strategiesOf(flag),
  }));
  const client = new Unleash({
    appName: "benchmark",
    url: "http://127.0.0.1:9/",
    bootstrap: { data },
    disableMetrics: true,
    refreshInterval: 0,
    storageProvider: { set: async () => undefined, get: async () => undefined },
  });
  client.on("error", () => undefined);
  client.on("warn", () => undefined);
  await new Promise((resolve) => client.on("ready", resolve));
  return {
    context: (userId, attributes) => ({ userId, properties: attributes, ...attributes }),
    ask: (key, context) => (key === "w1" ? client.isEnabled(key, context) : client.getVariant(key, context).name),
  };
}

async function launchdarkly({ flags }) {
  const { init } = await import("@launchdarkly/node-server-sdk");
  const { TestData } = await import("@launchdarkly/node-server-sdk/integrations");
  const operators = { equals: "in", in: "in", greater_than: "greaterThan", starts_with: "startsWith" };
  const clauseOf = ([attribute, operator, value]) => ({
    attribute,
    op: operators[operator],
    values: Array.isArray(value) ? value : [value],
    contextKind: "user",
  });
  const data = new TestData();
  for (const { key, variants, values, split, rules } of flags) {
    const index = (variant) => variants.indexOf(variant);
    data.usePreconfiguredFlag({
      key,
      version: 1,
      on: true,
      salt: key,
      variations: variants.map((variant) => values[variant]),
      offVariation: 0,
      fallthrough: {
        rollout: { variations: split.map(([variant, weight]) => ({ variation: index(variant), weight: weight * 10 })) },
      },
      rules: rules.map(([conditions, variant], number) => ({
        id: `r${number}`,
        clauses: conditions.map(clauseOf),
        variation: index(variant),
      })),
    });
  }
  const options = { updateProcessor: data.getFactory(), sendEvents: false, logger: QUIET };
  const client = init("sdk-benchmark", options);
  await client.waitForInitialization({ timeout: 10 });
  return {
    isAsync: true,
    context: (key, attributes) => ({ kind: "user", key, ...attributes }),
    ask: async (key, context) => (await client.variationDetail(key, context, null)).value,
    all: (context) => client.allFlagsState(context, { withReasons: true }),
  };
}

export const engines = { openflagship, "flagd-core": flagdCore, growthbook, unleash, launchdarkly };
