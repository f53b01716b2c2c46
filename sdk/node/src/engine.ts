/** `openflagship/engine`: evaluation without a client, such as for documents that a service has already. */

export * from "./engine/index.js";
