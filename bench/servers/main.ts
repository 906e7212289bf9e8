// A server process: starts the server that its first argument describes, then answers questions about its usage.
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { startByHand } from './by-hand/server.js';
import type { ServerMessage, ServerSetup } from './messages.js';
import { startShop } from './shop.js';

const setup: ServerSetup = JSON.parse(process.argv[2] ?? '{}');
const isByHand = setup.kind === 'yardstick' || setup.kind === 'noKey';
const port = await (isByHand ? startByHand(setup, listen) : startShop(setup, listen));

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const created = globalThis.benchCreated && { ...globalThis.benchCreated };
  send({ event: 'usage', usage: { cpuMicros: user + system, ...(created && { created }) } });
});
// The parent process has ended.
process.on('disconnect', () => process.exit(0));
send({ event: 'listening', port });

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
