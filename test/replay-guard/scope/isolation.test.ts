import { type ChannelCredentials, credentials, ServerCredentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type ScopeSource, scopeFromMetadata, scopeFromPeerCertificate } from 'grpc-replay-guard';
import { scopeFromJwt } from 'grpc-replay-guard/jwt';
import type { Reply } from '../../helpers/calls/call.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines, freshFolder } from '../../helpers/databases/engines.js';
import { createAuthority } from '../../helpers/identities/certificates.js';
import { AUDIENCE, bearer, ISSUER, keySet, newSigningKey } from '../../helpers/identities/tokens.js';
import {
  type Ledger,
  type LedgerMethod,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

type Test = ExecutionContext;
type Caller = 'ada' | 'mallory';

const emptied = emptiedData(test);

/** One way to identify callers: the scope source, and the credentials or metadata of a caller. */
interface Identification {
  readonly scope: ScopeSource;
  readonly server?: ServerCredentials;
  client?(caller: Caller): Promise<ChannelCredentials>;
  metadata?(caller: Caller): Promise<Record<string, string>>;
}

const identifications: Record<string, (t: Test) => Promise<Identification>> = {
  metadata: async () => ({
    scope: scopeFromMetadata('x-user'),
    metadata: async (caller) => ({ 'x-user': caller }),
  }),
  jwt: async () => {
    const key = await newSigningKey('one');
    const rules = { issuer: ISSUER, audience: AUDIENCE };
    return {
      scope: scopeFromJwt({ ...rules, jwks: keySet(key) }),
      metadata: (caller) => bearer(key, { sub: caller }),
    };
  },
  mtls: async (t) => {
    const ca = await createAuthority(await freshFolder(t), 'ca');
    const { cert, key } = await ca.issue('server', 'localhost');
    return {
      scope: scopeFromPeerCertificate(),
      server: ServerCredentials.createSsl(ca.cert, [{ cert_chain: cert, private_key: key }], true),
      client: async (caller) => {
        const own = await ca.issue(caller, caller);
        return credentials.createSsl(ca.cert, own.key, own.cert);
      },
    };
  },
};

/** The fixed time of all stores except Postgres, so that two keys have equal expiry times. */
const NOW = Date.UTC(2026, 0, 1);
const noWait = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'].map((path) => [
  path,
  { waitMs: 0 },
]);

/** Handlers that fail or wait at the barrier, depending on the account. The reply depends on the request only. */
const handlers = (barrier: Barrier) => (database: Ledger['database'] | undefined) =>
  onBoth(async (account, callback, { metadata }) => {
    if (account === 'fails') return callback({ code: status.NOT_FOUND, details: 'no such account' });
    if (account === 'waits' && metadata.get('x-held').length > 0) await barrier.pass();
    await database?.transaction(() => writeEffect(database, account));
    callback(null, { entryId: `entry of ${account}`, transferId: `transfer of ${account}` });
  });

/** Ada's keys, each with the account in Mallory's request: the same account as Ada's, or another one. */
const attempts = [
  ...[['done', 'pays'] as const, ['done-2', 'other'] as const],
  ...[['failed', 'fails'] as const, ['failed-2', 'other'] as const],
  ...[['running', 'waits'] as const, ['running-2', 'other'] as const],
];

type Send = (key: string, account: string, held?: boolean) => Promise<Reply<unknown>>;

async function senderFor(
  ledger: Ledger,
  identification: Identification,
  method: LedgerMethod,
  caller: Caller,
): Promise<Send> {
  const connection = ledger.server.connect(await identification.client?.(caller));
  const metadata = await identification.metadata?.(caller);
  const { Append, Transfer } = ledger.definition;
  return (key, account, held) => {
    const settings = { key, metadata: { ...metadata, ...(held && { 'x-held': 'yes' }) } };
    return method === 'append'
      ? connection.call(Append, { account }, settings)
      : connection.call(Transfer, { from: account }, settings);
  };
}

/** Everything in a reply that a caller can observe, without the date. */
function observable(
  { code, details, bytes, initial, trailers, replayed }: Reply<unknown>,
  isClockFixed: boolean,
) {
  const shown = { initial: initial?.toJSON(), trailers: trailers.toJSON() };
  delete shown.initial?.date;
  delete shown.trailers.date;
  const expiry = shown.trailers['idempotency-expires-at'];
  if (!isClockFixed && expiry) shown.trailers['idempotency-expires-at'] = [`${expiry.length} values`];
  return { code, details, bytes: bytes?.toString('hex'), replayed, ...shown };
}

for (const [name, identify] of Object.entries(identifications)) {
  for (const engine of [...engines, 'memory'] as const) {
    for (const method of ['append', 'transfer'] as const) {
      test.serial(
        `${name}, ${engine}, ${method}: a caller cannot distinguish another caller's key from a fresh key`,
        async (t) => {
          const identification = await identify(t);
          const barrier = new Barrier();
          const ledger = await openLedger(t, engine === 'memory' ? engine : await emptied(t, engine), {
            ...(identification.server && { credentials: identification.server }),
            ...(engine !== 'postgres' && { engine: { clock: () => NOW } }),
            handlers: (database) => handlers(barrier)(engine === 'memory' ? undefined : database),
            guard: { scope: identification.scope, policies: Object.fromEntries(noWait) },
          });
          const ada = await senderFor(ledger, identification, method, 'ada');
          const mallory = await senderFor(ledger, identification, method, 'mallory');
          const first = { done: await ada('done', 'pays'), failed: await ada('failed', 'fails') };
          t.deepEqual([first.done.code, first.failed.code], [status.OK, status.NOT_FOUND]);
          for (const key of ['done-2', 'failed-2']) await ada(key, key === 'done-2' ? 'pays' : 'fails');
          // SQLite has one writer. A running TRANSACTION call delays all other calls, whatever their keys.
          const canRunBeside = method === 'transfer' || engine !== 'sqlite';
          const running = canRunBeside ? ['running', 'running-2'].map((key) => ada(key, 'waits', true)) : [];
          await barrier.reached(running.length);

          for (const [key, account] of attempts) {
            const entered = ledger.entered;
            const onUsed = await mallory(key, account);
            const onFresh = await mallory(`fresh-${key}`, account);
            t.deepEqual(
              observable(onUsed, engine !== 'postgres'),
              observable(onFresh, engine !== 'postgres'),
              key,
            );
            t.is(ledger.entered, entered + 2, key);
          }

          barrier.open();
          for (const { code, replayed } of await Promise.all(running))
            t.deepEqual([code, replayed], [0, false]);
          const again = await ada('done', 'pays');
          t.true(again.replayed);
          t.deepEqual(again.bytes, first.done.bytes);
          t.true((await ada('failed', 'fails')).replayed);
          const taken = await ada('done-2', 'other');
          t.is(taken.statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_REUSED');
        },
      );
    }
  }
}
