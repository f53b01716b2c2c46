// Runs rows {flag, type, default, context} through the real Node providers and prints one result per line as JSON.
// Standard input: {baseUrl, key, client: "server" | "web", rows}.
import { readFileSync } from "node:fs";

const { baseUrl, key, client, rows } = JSON.parse(readFileSync(0, "utf8"));
const headers = [["Authorization", `Bearer ${key}`]];
const METHODS = { boolean: "getBooleanDetails", string: "getStringDetails", object: "getObjectDetails" };
const method = (type) => METHODS[type] ?? "getNumberDetails";

async function serverSide() {
  const { OpenFeature } = await import("@openfeature/server-sdk");
  const { OFREPProvider } = await import("@openfeature/ofrep-provider");
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
  const api = OpenFeature.getClient();
  const results = [];
  for (const row of rows) results.push(await api[method(row.type)](row.flag, row.default, row.context));
  await OpenFeature.close();
  return results;
}

async function inTheBrowser() {
  const { OpenFeature } = await import("@openfeature/web-sdk");
  const { OFREPWebProvider } = await import("@openfeature/ofrep-web-provider");
  const provider = new OFREPWebProvider({ baseUrl, headers, disableVisibilityRefresh: true, changeDetection: "none" });
  await OpenFeature.setContext(rows[0].context);
  await OpenFeature.setProviderAndWait(provider);
  const api = OpenFeature.getClient();
  const results = [];
  for (const row of rows) {
    await OpenFeature.setContext(row.context);
    results.push(api[method(row.type)](row.flag, row.default));
  }
  await OpenFeature.close();
  return results;
}

const results = await (client === "web" ? inTheBrowser() : serverSide());
for (const result of results) console.log(JSON.stringify(result));
