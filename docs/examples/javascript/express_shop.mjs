// An Express service: `node express_shop.mjs`, with FLAGSHIP_URL, FLAGSHIP_SERVER_KEY and FLAGSHIP_CLIENT_KEY set.
// Its page begins with its user's answers, so that the first paint has them, and follows changes from then on.

import { fileURLToPath } from "node:url";
import express from "express";
import { FlagShip } from "openflagship";
import { inScript, pageAnswers, signedPageAnswers } from "openflagship/pages";

const { FLAGSHIP_URL, FLAGSHIP_SERVER_KEY, FLAGSHIP_CLIENT_KEY, FLAGSHIP_SIGNING_SECRET, PORT = "3000" } = process.env;
const client = new FlagShip(FLAGSHIP_SERVER_KEY, FLAGSHIP_URL);
const app = express();

app.get("/checkout", (request, response) => {
  const isNew = client.isEnabled("new-checkout", { userId: request.query.user, country: "DE" });
  response.send(isNew ? "new" : "old");
});

app.get("/openflagship.js", (_request, response) => {
  response.sendFile(fileURLToPath(import.meta.resolve("openflagship-web")));
});

app.get("/", (request, response) => {
  const userId = String(request.query.user);
  // Signed where a cache or an edge worker passes the page on, and checks what it passes.
  const bootstrap = FLAGSHIP_SIGNING_SECRET
    ? signedPageAnswers(client, userId, FLAGSHIP_SIGNING_SECRET)
    : pageAnswers(client, userId);
  const start = { key: FLAGSHIP_CLIENT_KEY, url: FLAGSHIP_URL, context: { targetingKey: userId }, bootstrap };
  response.send(`<!doctype html><title>Shop</title><p id="checkout"></p>
<script type="application/json" id="start">${inScript(start)}</script>
<script type="module">
import { FlagShip } from "/openflagship.js";
const { key, url, ...options } = JSON.parse(document.getElementById("start").textContent);
const flags = new FlagShip(key, url, options);
const show = () => {
  document.getElementById("checkout").textContent = flags.isEnabled("new-checkout") ? "new" : "old";
};
flags.onChange(show);
show();
</script>`);
});

process.once("SIGTERM", async () => {
  await client.close();
  process.exit(0);
});
await client.ready();
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
