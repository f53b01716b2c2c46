// Asks through OpenFeature's flagd provider for Node. Lines of standard input: {port, selector}, then {rows}; of standard
// output: {results} for each, and {event} for each event.
import { createInterface } from "node:readline";
import { FlagdProvider } from "@openfeature/flagd-provider";
import { OpenFeature, ProviderEvents } from "@openfeature/server-sdk";

const METHODS = { boolean: "getBooleanDetails", string: "getStringDetails", object: "getObjectDetails" };
const say = (members) => process.stdout.write(`${JSON.stringify(members)}\n`);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { port, selector } = JSON.parse((await lines.next()).value);
const provider = new FlagdProvider({
  host: "127.0.0.1",
  port,
  selector,
  resolverType: "rpc",
  cache: "lru",
  deadlineMs: 60_000,
  retryBackoffMs: 100,
  retryBackoffMaxMs: 200,
});
await OpenFeature.setProviderAndWait(provider);
const client = OpenFeature.getClient();
client.addHandler(ProviderEvents.ConfigurationChanged, (details) => say({ event: "changed", flags: details?.flagsChanged }));
client.addHandler(ProviderEvents.Stale, () => say({ event: "stale" }));
client.addHandler(ProviderEvents.Error, () => say({ event: "stale" }));
client.addHandler(ProviderEvents.Ready, () => say({ event: "ready" }));
say({ event: "started" });
for await (const line of lines) {
  const results = [];
  for (const row of JSON.parse(line).rows) {
    const { value, variant, reason, errorCode } = await client[METHODS[row.type] ?? "getNumberDetails"](
      row.flag,
      row.default,
      row.context ?? {},
    );
    results.push({ value, variant, reason, errorCode });
  }
  say({ results });
}
// Its close does not come to an end where the stream was cut before.
process.exit(0);
