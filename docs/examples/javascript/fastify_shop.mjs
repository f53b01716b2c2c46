// A Fastify service: `node fastify_shop.mjs`, with FLAGSHIP_URL and FLAGSHIP_SERVER_KEY set.

import Fastify from "fastify";
import { FlagShip } from "openflagship";

const { FLAGSHIP_URL, FLAGSHIP_SERVER_KEY, PORT = "3000" } = process.env;
const client = new FlagShip(FLAGSHIP_SERVER_KEY, FLAGSHIP_URL);
const fastify = Fastify();

fastify.addHook("onReady", async () => void (await client.ready()));
fastify.addHook("onClose", async () => client.close());
fastify.get("/checkout", async (request) => {
  const isNew = client.isEnabled("new-checkout", { userId: request.query.user, country: "DE" });
  return isNew ? "new" : "old";
});

process.once("SIGTERM", () => fastify.close());
console.log(await fastify.listen({ port: Number(PORT), host: "127.0.0.1" }));
