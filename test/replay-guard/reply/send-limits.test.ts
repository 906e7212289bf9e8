import { Metadata, type ServerOptions, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { ClaimRequest } from 'grpc-replay-guard/store';
import { encodeReply } from '#library/replay-guard/reply/reply.js';
import type { Connection } from '../../helpers/calls/call.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { RecordingObserver } from '../../helpers/servers/recording-observer.js';
import { startServer } from '../../helpers/servers/server.js';

const definition = loadLedger();
const stored = Buffer.alloc(0);

/** Starts a server on the store. Its handlers send one message with this text. */
async function serve(t: ExecutionContext, store: MemoryStore, text: string, options: ServerOptions = {}) {
  const observer = new RecordingObserver();
  const guard = createReplayGuard({ store, scope: singleTenant(), observer });
  t.teardown(() => guard.close());
  const handlers = {
    Append: (_call: object, callback: (error: null, response: object) => void) =>
      callback(null, { entryId: text }),
    Settle: (call: { write(message: object): void; end(): void }) => {
      call.write({ entryId: text });
      call.end();
    },
  };
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect(definition), handlers as never]],
    options,
  });
  return { connection: server.connect(), observer };
}

const append = async (connection: Connection, key: string) =>
  connection.call(definition.Append, {}, { key, deadlineMs: 5_000 });
const settle = (connection: Connection, key: string) =>
  connection.stream(definition.Settle.path, Buffer.of(), { key, deadlineMs: 5_000 });

for (const [method, ask] of [['Append', append] as const, ['Settle', settle] as const]) {
  test(`${method}: a message above the server's send limit is refused, and the refusal is stored`, async (t) => {
    const { connection } = await serve(t, new MemoryStore(), 'x'.repeat(1_000), {
      'grpc.max_send_message_length': 1_000,
    });
    for (const replayed of [false, true]) {
      const reply = await ask(connection, 'key');
      t.like(reply, { code: status.RESOURCE_EXHAUSTED, replayed });
      t.like(reply.statusDetails?.errorInfo, {
        reason: 'IDEMPOTENCY_REPLY_TOO_LARGE',
        metadata: { limit_bytes: '1000' },
      });
    }
  });

  test(`${method}: a server with a smaller send limit refuses a stored reply, and its connection stays open`, async (t) => {
    const store = new MemoryStore();
    const large = await serve(t, store, 'x'.repeat(1_000));
    const small = await serve(t, store, 'small', { 'grpc.max_send_message_length': 1_000 });
    t.is((await ask(large.connection, 'key')).code, status.OK);
    const refused = await ask(small.connection, 'key');
    t.is(refused.code, status.DATA_LOSS);
    t.like(refused.statusDetails?.errorInfo, {
      reason: 'IDEMPOTENCY_REPLY_UNREADABLE',
      metadata: { unsendable: 'true' },
    });
    t.is((await ask(small.connection, 'another')).code, status.OK);
    t.deepEqual(small.observer.ended, ['refused', 'executed']);
    t.like(await ask(large.connection, 'key'), { code: status.OK, replayed: true });
  });
}

/** Completes each claim with this metadata, as an earlier version stored it. */
class EarlierVersion extends MemoryStore {
  readonly #trailing = new Metadata();

  constructor(name: string, values: readonly string[]) {
    super();
    for (const value of values) this.#trailing.add(name, value);
  }

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (result.outcome !== 'claimed') return result;
    const reply = { code: status.OK, details: 'OK', messages: [stored], initial: new Metadata() };
    await result.claim.complete(encodeReply({ ...reply, trailing: this.#trailing }, request.id));
    return super.claim(request);
  }
}

test('a reply of an earlier version with large metadata is replayed', async (t) => {
  const value = 'v'.repeat(60_000);
  const ledger = await openLedger(t, 'memory', {
    opened: { store: new EarlierVersion('x', [value]) } as never,
  });
  const reply = await ledger.append('key');
  t.like(reply, { code: status.OK, replayed: true });
  t.deepEqual(reply.trailers.get('x'), [value]);
});

for (const [what, name, values] of [
  ['metadata above 64 KiB', 'x', ['v'.repeat(66_000)]],
  ['two values of a single-value name', 'from', ['a', 'b']],
] as const) {
  test(`a reply of an earlier version with ${what} is refused, and the connection stays open`, async (t) => {
    const ledger = await openLedger(t, 'memory', {
      opened: { store: new EarlierVersion(name, values) } as never,
    });
    const reply = await ledger.append('key', {}, { deadlineMs: 5_000 });
    t.is(reply.code, status.DATA_LOSS);
    t.like(reply.statusDetails?.errorInfo, { metadata: { unsendable: 'true' } });
    t.is((await ledger.connection.call(ledger.definition.Read, {}, { deadlineMs: 5_000 })).code, status.OK);
  });
}

test('an expiry after the year 9999 is stated as the end of that year', async (t) => {
  const clock = () => Date.parse('9999-12-31T12:00:00Z');
  const ledger = await openLedger(t, 'memory', { engine: { clock } });
  for (const replayed of [false, true]) {
    const reply = await ledger.append('key');
    t.like(reply, { code: status.OK, replayed });
    t.deepEqual(reply.trailers.get('idempotency-expires-at'), ['9999-12-31T23:59:59.999Z']);
  }
});
