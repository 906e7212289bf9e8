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
type Who = 'ada' | 'mallory';

const emptied = emptiedData(test);

/** How callers are told apart, and how they show who they are. */
interface RecordAddress {
  readonly scope: ScopeSource;
  readonly server?: ServerCredentials;
  client?(who: Who): Promise<ChannelCredentials>;
  metadata?(who: Who): Promise<Record<string, string>>;
}

const identities: Record<string, (t: Test) => Promise<RecordAddress>> = {
  metadata: async () => ({
    scope: scopeFromMetadata('x-user'),
    metadata: async (who) => ({ 'x-user': who }),
  }),
  jwt: async () => {
    const key = await newSigningKey('one');
    const rules = { issuer: ISSUER, audience: AUDIENCE };
    return {
      scope: scopeFromJwt({ ...rules, jwks: keySet(key) }),
      metadata: (who) => bearer(key, { sub: who }),
    };
  },
  mtls: async (t) => {
    const ca = await createAuthority(await freshFolder(t), 'ca');
    const { cert, key } = await ca.issue('server', 'localhost');
    return {
      scope: scopeFromPeerCertificate(),
      server: ServerCredentials.createSsl(ca.cert, [{ cert_chain: cert, private_key: key }], true),
      client: async (who) => {
        const own = await ca.issue(who, who);
        return credentials.createSsl(ca.cert, own.key, own.cert);
      },
    };
  },
};

/** What the clocks of our own stand at: then even the expiry of two keys is the same. */
const NOW = Date.UTC(2026, 0, 1);
const noWait = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'].map((path) => [
  path,
  { waitMs: 0 },
]);

/** Fails, or waits at the barrier, where the account says so; the answer follows from the request alone. */
const handlers = (barrier: Barrier) => (database: Ledger['database'] | undefined) =>
  onBoth(async (account, callback, { metadata }) => {
    if (account === 'fails') return callback({ code: status.NOT_FOUND, details: 'no such account' });
    if (account === 'waits' && metadata.get('x-held').length > 0) await barrier.pass();
    await database?.transaction(() => writeEffect(database, account));
    callback(null, { entryId: `entry of ${account}`, transferId: `transfer of ${account}` });
  });

/** Her keys, and what the other asks for under them: the same as she, or something else. */
const tries = [
  ...[['done', 'pays'] as const, ['done-2', 'other'] as const],
  ...[['failed', 'fails'] as const, ['failed-2', 'other'] as const],
  ...[['running', 'waits'] as const, ['running-2', 'other'] as const],
];

type Ask = (key: string, account: string, held?: boolean) => Promise<Reply<unknown>>;

async function asking(ledger: Ledger, identity: RecordAddress, method: LedgerMethod, who: Who): Promise<Ask> {
  const connection = ledger.server.connect(await identity.client?.(who));
  const metadata = await identity.metadata?.(who);
  const { Append, Transfer } = ledger.definition;
  return (key, account, held) => {
    const settings = { key, metadata: { ...metadata, ...(held && { 'x-held': 'yes' }) } };
    return method === 'append'
      ? connection.call(Append, { account }, settings)
      : connection.call(Transfer, { from: account }, settings);
  };
}

/** Everything that a caller can see of an answer, but for when it came. */
function seen({ code, details, bytes, initial, trailers, replayed }: Reply<unknown>, isClockOurs: boolean) {
  const shown = { initial: initial?.toJSON(), trailers: trailers.toJSON() };
  delete shown.initial?.date;
  delete shown.trailers.date;
  const expiry = shown.trailers['idempotency-expires-at'];
  if (!isClockOurs && expiry) shown.trailers['idempotency-expires-at'] = [`${expiry.length} of them`];
  return { code, details, bytes: bytes?.toString('hex'), replayed, ...shown };
}

for (const [name, identify] of Object.entries(identities)) {
  for (const engine of [...engines, 'memory'] as const) {
    for (const method of ['append', 'transfer'] as const) {
      test.serial(`${name}, ${engine}, ${method}: another's key is to a caller as a fresh one`, async (t) => {
        const identity = await identify(t);
        const barrier = new Barrier();
        const ledger = await openLedger(t, engine === 'memory' ? engine : await emptied(t, engine), {
          ...(identity.server && { credentials: identity.server }),
          ...(engine !== 'postgres' && { engine: { clock: () => NOW } }),
          handlers: (database) => handlers(barrier)(engine === 'memory' ? undefined : database),
          guard: { scope: identity.scope, policies: Object.fromEntries(noWait) },
        });
        const ada = await asking(ledger, identity, method, 'ada');
        const mallory = await asking(ledger, identity, method, 'mallory');
        const first = { done: await ada('done', 'pays'), failed: await ada('failed', 'fails') };
        t.deepEqual([first.done.code, first.failed.code], [status.OK, status.NOT_FOUND]);
        for (const key of ['done-2', 'failed-2']) await ada(key, key === 'done-2' ? 'pays' : 'fails');
        // The one writer of SQLite is taken as long as a transaction lasts: whichever key a call has, it waits.
        const holds = method === 'transfer' || engine !== 'sqlite';
        const running = holds ? ['running', 'running-2'].map((key) => ada(key, 'waits', true)) : [];
        await barrier.reached(running.length);

        for (const [key, account] of tries) {
          const entered = ledger.entered;
          const onHers = await mallory(key, account);
          const onFresh = await mallory(`fresh-${key}`, account);
          t.deepEqual(seen(onHers, engine !== 'postgres'), seen(onFresh, engine !== 'postgres'), key);
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
      });
    }
  }
}
