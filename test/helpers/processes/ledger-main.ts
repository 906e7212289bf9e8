// A guarded ledger as a separate server process, for tests that pause, block or kill a server. The argument is
// LedgerSettings as JSON. The process sends its address to the parent, and the account of each held handler. The
// message `{ release: account }` from the parent releases that handler.
import { randomUUID } from 'node:crypto';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { openPostgres } from 'grpc-replay-guard/postgres';
import type { IdempotencyStore, OpenStore } from 'grpc-replay-guard/store';
import pg, { type PoolConfig } from 'pg';
import { openUrl } from '../databases/open-url.js';
import { loadLedger } from '../servers/ledger.js';
import { ContestedStore } from '../stores/contested-store.js';
import { type LedgerSettings, type ReleaseMessage, ROLLED_BACK } from './ledger-process.js';

type Request = { account?: string; from?: string };

const settings: LedgerSettings = JSON.parse(String(process.argv[2]));
const opened = await openStore();
const { database } = opened;
const waiting = new Map<string, () => void>();
const store = settings.failures === 'held' ? holdRollbacks(opened.store) : opened.store;
await database.migrate('ledger', ['CREATE TABLE effects (account TEXT NOT NULL, amount BIGINT NOT NULL)']);
const { leaseMs, waitMs } = settings;
const policy = { leaseMs, waitMs };
const path = '/test.v1.LedgerService/';
const guard = createReplayGuard({
  store,
  scope: singleTenant(),
  policies: { [`${path}Append`]: policy, [`${path}Transfer`]: policy },
});
const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(loadLedger()), {
  // While this handler is held, its transaction is open and has a write.
  Append: respondWith(async (request) => {
    await write(request);
    await hold(request);
    block();
    fail();
    return { entryId: randomUUID() };
  }),
  // While this handler is held, it has not written yet.
  Transfer: respondWith(async (request) => {
    await hold(request);
    await write(request);
    block();
    fail();
    return { transferId: randomUUID() };
  }),
} as UntypedServiceImplementation);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ serving: `127.0.0.1:${port}` });
});
process.on('message', ({ release }: ReleaseMessage) => waiting.get(release)?.());
process.once('disconnect', () => process.exit());

function openStore(): Promise<OpenStore> {
  if (settings.idleTransactionMs === undefined) return openUrl(settings.url, { unitLimitMs: 60_000 });
  const config: PoolConfig & { pipeline: boolean } = {
    connectionString: settings.url,
    pipeline: true,
    lock_timeout: 200,
    idle_in_transaction_session_timeout: settings.idleTransactionMs,
  };
  return openPostgres({ pool: new pg.Pool(config).on('error', () => {}), unitLimitMs: 60_000 });
}

function respondWith(handle: (request: Request) => Promise<object>) {
  return (call: ServerUnaryCall<Request, object>, callback: sendUnaryData<object>) => {
    handle(call.request).then(
      (reply) => callback(null, reply),
      (error) => callback(error),
    );
  };
}

async function write(request: Request): Promise<void> {
  await database.query('INSERT INTO effects (account, amount) VALUES ($1, 1)', [account(request)]);
}

async function hold(request: Request): Promise<void> {
  if (!settings.holdHandlers) return;
  const name = account(request);
  const released = new Promise<void>((resolve) => waiting.set(name, resolve));
  process.send?.({ held: name });
  await released;
}

/** Pauses each failure between the rollback and its storage. */
function holdRollbacks(real: IdempotencyStore): IdempotencyStore {
  const contested = new ContestedStore(real);
  waiting.set(ROLLED_BACK, () => contested.rolledBack.open());
  void contested.rolledBack.reached().then(() => process.send?.({ held: ROLLED_BACK }));
  return contested;
}

function fail(): void {
  if (settings.failures) throw Object.assign(new Error('no such account'), { code: status.NOT_FOUND });
}

let blockMs = settings.blockMs ?? 0;

/** Blocks the event loop once, so that the heartbeat cannot renew the lease. */
function block(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
  blockMs = 0;
}

function account({ account, from }: Request): string {
  return account || from || '';
}
