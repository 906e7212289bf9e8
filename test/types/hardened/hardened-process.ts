// A server in a process that cannot generate code from strings: --disallow-code-generation-from-strings. Its codecs are
// static. The arguments are the package entries as JSON, the path of a descriptor set with the ledger service, and the
// path of a new SQLite file. Prints the results of its calls as JSON.
import { readFileSync } from 'node:fs';
import {
  credentials,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createOutbox, createRelay, migrateOutbox } from 'grpc-replay-guard/outbox';
import { createWebhookDestination } from 'grpc-replay-guard/outbox/webhook';
import { readStatusDetails } from 'grpc-replay-guard/protocol';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { startReceiver, WEBHOOK_SECRET } from '../../helpers/servers/webhook-receiver.js';

const [entries = '[]', image = '', file = ''] = process.argv.slice(2);
for (const entry of JSON.parse(entries)) await import(entry);
let generates = true;
try {
  new Function('return 1');
} catch {
  generates = false;
}

const same = (bytes: Buffer) => bytes;
const definition = {
  Append: {
    ...{ path: '/test.v1.LedgerService/Append', requestStream: false, responseStream: false },
    ...{
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  },
};
/** The field `account` of a request or `entry_id` of a response: both have the number 1. */
const text = (value: string) => Buffer.concat([Buffer.from([10, value.length]), Buffer.from(value)]);

const { store, database, close } = await openSqlite({ path: file });
const outbox = createOutbox({ database, routes: { note: ['desk'] } });
await migrateOutbox(database);
const guard = createReplayGuard({
  ...{ store, scope: singleTenant(), cipherKey: Buffer.alloc(32), descriptors: readFileSync(image) },
});
const server = new Server({ interceptors: [guard.interceptor] });
let executions = 0;
server.addService(guard.protect(definition), {
  async Append({ request }: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
    executions++;
    if (request.equals(text('fails'))) return callback({ code: status.NOT_FOUND, details: 'no account' });
    await outbox.append({ type: 'note', aggregate: 'a', payload: {} });
    callback(null, text(`entry ${executions}`));
  },
});
const port = await new Promise<number>((resolve, reject) =>
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
    error ? reject(error) : resolve(bound),
  ),
);
const Client = makeGenericClientConstructor(definition, 'LedgerService');
const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());

function append(key: string, account: string): Promise<string> {
  const metadata = new Metadata();
  metadata.set('idempotency-key', key);
  return new Promise((resolve) => {
    let result = '';
    const call = client.Append?.(text(account), metadata, (error: ServiceError | null, reply?: Buffer) => {
      const [details] = error?.metadata.get('grpc-status-details-bin') ?? [];
      const reason = details && readStatusDetails(details as Buffer).errorInfo?.reason;
      result = error ? `${status[error.code]} ${reason ?? error.details}` : String(reply?.subarray(2));
    });
    call?.on('status', ({ metadata: trailers }: { metadata: Metadata }) => {
      const isReplay = trailers.get('idempotent-replayed').length > 0;
      setImmediate(() => resolve(isReplay ? `${result}, replayed` : result));
    });
  });
}

const ends: (() => void | Promise<void>)[] = [];
const calls = [
  ...[await append('k1', 'pays'), await append('k1', 'pays'), await append('k1', 'other')],
  ...[await append('k2', 'fails'), await append('k2', 'fails')],
];
const receiver = await startReceiver({ teardown: (end) => void ends.push(end) });
const desk = createWebhookDestination({ url: receiver.url, secret: WEBHOOK_SECRET, types: ['note'] });
const delivered = await createRelay({ outbox, destinations: { desk } }).runOnce();
for (const end of ends) await end();
client.close();
server.forceShutdown();
await guard.close();
await close();
process.stdout.write(JSON.stringify({ generates, calls, delivered, received: receiver.received.length }));
