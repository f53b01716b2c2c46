// A page with React, OpenFeature's React SDK and its plain OFREP provider; the hook records what the page shows.

import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, OpenFeatureProvider, useBooleanFlagValue } from "@openfeature/react-sdk";
import { ExposureHook, ofrepFetch } from "openflagship-web/openfeature";
import { createRoot } from "react-dom/client";

function Checkout() {
  return <p id="checkout">{useBooleanFlagValue("new-checkout", false) ? "new" : "old"}</p>;
}

const root = document.getElementById("root");
const { key, url, user } = root.dataset;
await OpenFeature.setContext({ targetingKey: user });
OpenFeature.addHooks(new ExposureHook(key, url));
const headers = [["Authorization", `Bearer ${key}`]];
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: url, headers, fetchImplementation: ofrepFetch }));
createRoot(root).render(
  <OpenFeatureProvider>
    <Checkout />
  </OpenFeatureProvider>,
);
