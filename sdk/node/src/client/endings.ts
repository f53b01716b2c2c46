/** The end of the process: clients that are still open send what waits once nothing else is to be done. */

interface Closable {
  close(): Promise<void>;
}

const open = new Set<Closable>();

/** Closes the client when the process has nothing left to do. A signal, or `process.exit`, tells nobody. */
export function closeAtEnd(client: Closable): void {
  if (open.size === 0) process.on("beforeExit", closeAll);
  open.add(client);
}

export function isClosed(client: Closable): void {
  open.delete(client);
  if (open.size === 0) process.off("beforeExit", closeAll);
}

function closeAll(): void {
  for (const client of open) void client.close();
}
