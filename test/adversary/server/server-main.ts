// A guarded ledger as a server process of the adversary. The argument is AdversaryServerSettings as JSON. The process
// says `serving` to its parent, writes what it does to its journal, and ends when its parent ends.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { createReplayGuard, type ReplayGuardObserver, scopeFromMetadata } from 'grpc-replay-guard';
import { CommitInDoubtError } from 'grpc-replay-guard/database';
import { openUrl } from '../../helpers/databases/open-url.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { type OpenWithBug, openWithBug } from '../planted/open-with-bug.js';
import { openDiscarding } from './discarding-pool.js';
import { handlersOn, migrateService } from './handlers.js';
import { Journal } from './journal.js';
import { type AdversaryServerSettings, CALLER_HEADER } from './settings.js';

const settings: AdversaryServerSettings = JSON.parse(String(process.argv[2]));
const { url, leaseMs, waitMs, maxConnections, bug, pooler } = settings;
const journal = new Journal(settings.journal);
process.once('disconnect', () => process.exit());

const observer: Partial<ReplayGuardObserver> = {
  executionStarted: (_method, takenOver) => {
    if (takenOver) journal.write({ type: 'takeover' });
  },
  storeUsed: (operation, _seconds, error) => {
    const isCommit = operation === 'complete' || operation === 'fail';
    if (isCommit && error instanceof CommitInDoubtError) journal.write({ type: 'commit in doubt' });
  },
  circuitChanged: (open) => {
    if (open) journal.write({ type: 'circuit opened' });
  },
  handlerFailed: (_method, error) => journal.write({ type: 'failure', what: String(error) }),
};

const options = { maxConnections, unitLimitMs: 4_000, lockTimeoutMs: 1_000, ...(pooler && { pooler }) };
const opened = await open();
const { store, database, scope = scopeFromMetadata(CALLER_HEADER) } = opened;
await migrateService(database);
const path = '/test.v1.LedgerService/';
const common = { leaseMs, waitMs };
const guard = createReplayGuard({
  ...{ store, scope, observer, purgeEveryMs: 500, storeTimeoutMs: 5_000 },
  policies: {
    [`${path}Append`]: common,
    [`${path}Transfer`]: common,
    [`${path}Close`]: { ...common, retentionMs: settings.shortRetentionMs },
  },
});
const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(loadLedger()), handlersOn(database, journal, settings.handlerMs));
server.bindAsync(`127.0.0.1:${settings.port}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  process.send?.('serving');
});

function open(): Promise<OpenWithBug> {
  if (bug) return openWithBug(bug, url, options);
  return settings.discards ? openDiscarding(url, options) : openUrl(url, options);
}
