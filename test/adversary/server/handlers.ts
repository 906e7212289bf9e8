import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';
import { createOutbox, migrateOutbox, type Outbox } from 'grpc-replay-guard/outbox';
import type { LoadMethod } from '../judge/history.js';
import { type Journal, steadyMs } from './journal.js';
import { ATTEMPT_HEADER, CALLER_HEADER, ITEMS, STOCK } from './settings.js';

const DESTINATION = 'sink';

// `effects` has no unique constraint, so that a second effect of an operation shows.
const schema = [
  `CREATE TABLE effects (
    execution TEXT NOT NULL, attempt TEXT NOT NULL, caller TEXT NOT NULL, method TEXT NOT NULL,
    account TEXT NOT NULL, item TEXT NOT NULL)`,
  `CREATE TABLE stock (
    item TEXT NOT NULL PRIMARY KEY,
    on_hand BIGINT NOT NULL CHECK (on_hand >= 0),
    reserved BIGINT NOT NULL CHECK (reserved >= 0))`,
  ...ITEMS.map((item) => `INSERT INTO stock (item, on_hand, reserved) VALUES ('${item}', ${STOCK}, 0)`),
];

/** Creates the tables of the service. */
export async function migrateService(database: Database): Promise<void> {
  await database.migrate('adversary', schema);
  await migrateOutbox(database);
}

/** The content of a request: its account, and how its handler ends. */
interface Work {
  readonly method: LoadMethod;
  readonly account: string;
}

type Call = ServerUnaryCall<{ account?: string; from?: string }, object>;

/** The handlers of the ledger service. Each reserves an item, writes one effect and appends one event. */
export function handlersOn(
  database: Database,
  journal: Journal,
  handlerMs: number,
): UntypedServiceImplementation {
  const outbox = createOutbox({ database, routes: { 'effect.written': [DESTINATION] } });
  const handle = (method: LoadMethod, reply: (execution: string) => object) => {
    return (call: Call, callback: sendUnaryData<object>) => {
      const id = randomUUID();
      const account = call.request.account || call.request.from || '';
      const header = (name: string) => String(call.metadata.get(name)[0] ?? '');
      const [scope, attempt] = [header(CALLER_HEADER), header(ATTEMPT_HEADER)];
      journal.write({ type: 'start', id, attempt, scope, method, account, at: steadyMs() });
      execute(database, outbox, { method, account }, { id, attempt, scope }, handlerMs)
        .finally(() => journal.write({ type: 'end', id, at: steadyMs() }))
        .then(
          () => callback(null, reply(id)),
          (error) => callback(error),
        );
    };
  };
  return {
    Append: handle('append', (entryId) => ({ entryId })),
    Transfer: handle('transfer', (transferId) => ({ transferId })),
    Close: handle('close', () => ({ closed: true })),
  } as unknown as UntypedServiceImplementation;
}

async function execute(
  database: Database,
  outbox: Outbox,
  { method, account }: Work,
  { id, attempt, scope }: { id: string; attempt: string; scope: string },
  handlerMs: number,
): Promise<void> {
  const item = itemOf(account);
  if (method === 'transfer') {
    // This read comes before the first write, so that it stands outside of the transaction.
    await database.query('SELECT * FROM stock WHERE item = $1', [item]);
    await pause(Math.random() * handlerMs);
  }
  await database.query(
    `INSERT INTO effects (execution, attempt, caller, method, account, item) VALUES ($1, $2, $3, $4, $5, $6)`,
    [id, attempt, scope, method, account, item],
  );
  await outbox.append({ type: 'effect.written', aggregate: id, payload: { account } });
  if (Math.random() < 0.2) await pause(Math.random() * handlerMs);
  const reserved = await database.query(
    'UPDATE stock SET on_hand = on_hand - 1, reserved = reserved + 1 WHERE item = $1 AND on_hand > 0 RETURNING *',
    [item],
  );
  if (reserved.length !== 1) throw new Error(`${item} is out of stock`);
  if (account.startsWith('rejected')) {
    throw Object.assign(new Error('no such account'), { code: status.NOT_FOUND });
  }
  if (account.startsWith('flaky') && Math.random() < 0.5) throw new Error('the handler fails on purpose');
}

/** Equal accounts have equal items. */
function itemOf(account: string): string {
  let sum = 0;
  for (const character of account) sum = (Math.imul(sum, 31) + character.charCodeAt(0)) >>> 0;
  return ITEMS[sum % ITEMS.length] as string;
}
