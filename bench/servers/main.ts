// A server process: starts the server that its first argument describes, then answers questions about what it uses.
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { startByHand } from './by-hand/server.js';
import type { ServerMessage, ServerQuestion, ServerSetup } from './messages.js';
import { startShop } from './shop.js';

const setup: ServerSetup = JSON.parse(process.argv[2] ?? '{}');
const isByHand = setup.kind === 'yardstick' || setup.kind === 'noKey';
const port = await (isByHand ? startByHand(setup, listen) : startShop(setup, listen));

process.on('message', (question) => {
  send((question as ServerQuestion) === 'usage' ? usage() : memory());
});
// The parent process has ended.
process.on('disconnect', () => process.exit(0));
send({ event: 'listening', port });

/** The CPU time is the time of all threads. */
function usage(): ServerMessage {
  const { user, system } = process.cpuUsage();
  const created = globalThis.benchCreated && { ...globalThis.benchCreated };
  return { event: 'usage', usage: { cpuMicros: user + system, ...(created && { created }) } };
}

function memory(): ServerMessage {
  if (!globalThis.gc) throw new Error('the server process needs --expose-gc');
  globalThis.gc();
  const { heapUsed, rss } = process.memoryUsage();
  return { event: 'memory', memory: { heapUsed, rss } };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
}

function send(message: ServerMessage): void {
  process.send?.(message);
}
