/** Servers that run as processes of their own on this machine. */

import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

const MOST_MS = 60_000;
const INTERVAL_MS = 250;

/** A port that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Asks until it is so; a question that fails is one that is not answered yet. */
export async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + MOST_MS; ; ) {
    if (await isSo().catch(() => false)) return;
    if (Date.now() > end) throw new Error('It did not become so within a minute');
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}
