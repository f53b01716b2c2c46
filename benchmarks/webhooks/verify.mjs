// Verifies each delivery that it is handed as a line, with the library that receivers use.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const counts = { good: 0, bad: 0 };
const hooks = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  if (!hooks.has(secret)) hooks.set(secret, new Webhook(secret));
  try {
    hooks.get(secret).verify(body, headers);
    counts.good += 1;
  } catch {
    counts.bad += 1;
  }
}
console.log(JSON.stringify(counts));
