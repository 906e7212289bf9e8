import { randomUUID } from 'node:crypto';
import {
  credentials,
  Metadata,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import {
  createIdempotencyInterceptor,
  newIntent,
  sendUntilKnown,
  withIdempotencyKey,
} from 'grpc-replay-guard/client';
import { generatedClients, noteService } from '../helpers/calls/generated-clients.js';
import { freshData } from '../helpers/databases/engines.js';
import { startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { startServer } from '../helpers/servers/server.js';

/** A guarded service that writes notes, behind a proxy that loses each reply with an odd number. */
async function lossyNotes(t: ExecutionContext) {
  const { database, store } = await (await freshData(t, 'sqlite')).open();
  await database.migrate('notes', ['CREATE TABLE notes (text TEXT NOT NULL)']);
  const guard = createReplayGuard({ store, scope: singleTenant() });
  t.teardown(() => guard.close());
  const write = async (
    { request }: ServerUnaryCall<{ text: string }, object>,
    callback: sendUnaryData<object>,
  ) => {
    await database.query('INSERT INTO notes (text) VALUES ($1)', [request.text]);
    callback(null, { noteId: randomUUID() });
  };
  const services = [[guard.protect(noteService) as ServiceDefinition, { Write: write }]] as const;
  const { address } = await startServer(t, { interceptors: [guard.interceptor], services });
  let replies = 0;
  const proxy = await startGrpcProxy(t, address, { reply: () => (++replies % 2 === 0 ? 'pass' : 'cut') });
  const written = async () => {
    const rows = await database.query('SELECT text FROM notes ORDER BY text');
    return rows.map(({ text }) => text);
  };
  return { address: proxy.address, written };
}

for (const [kind, open] of Object.entries(generatedClients)) {
  test(`${kind}: the interceptor, a kept key and sendUntilKnown each write a note once`, async (t) => {
    const { address, written } = await lossyNotes(t);
    const keyed = open(address, credentials.createInsecure(), {
      interceptors: [createIdempotencyInterceptor()],
    });
    const bare = open(address, credentials.createInsecure(), {});
    t.teardown(() => {
      keyed.close();
      bare.close();
    });
    const once = (client: typeof keyed, text: string, metadata = new Metadata()) =>
      new Promise<string | status>((resolve) => {
        client.write(text, metadata, { deadline: Date.now() + 30_000 }, (error, id) =>
          resolve(error ? error.code : String(id)),
        );
      });

    // The proxy loses every other reply, so each operation is sent twice.
    t.is(await once(keyed, 'a'), status.UNAVAILABLE);
    t.regex(String(await once(keyed, 'b')), /^[0-9a-f-]{36}$/);
    const { key, firstSent } = newIntent();
    const metadata = withIdempotencyKey(key, firstSent === undefined ? {} : { firstSent });
    t.is(await once(bare, 'c', metadata), status.UNAVAILABLE);
    t.regex(String(await once(bare, 'c', metadata)), /^[0-9a-f-]{36}$/);

    const backoff = { initialBackoffMs: 10, maxBackoffMs: 100 };
    for (const client of [keyed, bare]) {
      const outcome = await sendUntilKnown<string>((...sent) => client.write('d', ...sent), backoff);
      t.like(outcome, { outcome: 'done', replayed: true });
      if (outcome.outcome === 'done') t.regex(outcome.response, /^[0-9a-f-]{36}$/);
    }
    t.deepEqual(await written(), ['a', 'b', 'c', 'd', 'd']);
  });
}
