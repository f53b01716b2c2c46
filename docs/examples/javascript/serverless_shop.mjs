// A function of a host that freezes the process between requests: nothing runs in the background.

import { FlagShip } from "openflagship";

const { FLAGSHIP_URL, FLAGSHIP_SERVER_KEY } = process.env;
const client = new FlagShip(FLAGSHIP_SERVER_KEY, FLAGSHIP_URL, { mode: "on_demand" });

export async function handler(event) {
  await client.refresh();
  const isNew = client.isEnabled("new-checkout", { userId: event.user, country: "DE" });
  await client.flush(1000);
  return { statusCode: 200, body: isNew ? "new" : "old" };
}
