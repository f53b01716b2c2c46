// One evaluation by the client that was generated into `flagship.d.ts`. The address and the key come from the environment.
import createClient from "openapi-fetch";
import type { paths } from "./flagship.d.ts";

declare const process: { env: { FLAGSHIP_URL: string; FLAGSHIP_KEY: string } };

const { FLAGSHIP_URL: baseUrl, FLAGSHIP_KEY: key } = process.env;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const { data, error } = await client.POST("/api/flags/evaluate", {
  body: { flagKey: "checkout", userId: "ada", attributes: { country: "US" } },
});
if (data === undefined) throw new Error(JSON.stringify(error));
const variant: string | null = data.variant;
console.log(JSON.stringify([variant, data.value, data.reason]));
