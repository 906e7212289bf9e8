import { type ServerUnaryCall, status } from '@grpc/grpc-js';
import test from 'ava';
import {
  CommitInDoubtError,
  DatabaseUnavailableError,
  LeaseLostError,
  LockTimeoutError,
  UnitOfWorkError,
} from 'grpc-replay-guard/database';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { inventoryService } from '#src/rpc/definitions.js';
import { failedPrecondition } from '#src/rpc/service-error.js';
import { unary } from '#src/rpc/unary.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { connect, failureOf, openShop, randomIds, serve, silent } from '../helpers/servers/shop.js';

/** How a call ends whose handler throws this. */
async function failureBy(t: Cleanup, thrower: (call: ServerUnaryCall<unknown, unknown>) => Promise<never>) {
  const shop = await openShop(t, 'sqlite');
  const handlers = createInventoryHandlers({ ...shop, ids: randomIds });
  const address = await serve(t, inventoryService, {
    ...handlers,
    GetItem: unary(async (_request, call) => thrower(call as never), silent),
  });
  const call = connect(t, address);
  return failureOf(call(inventoryService.GetItem, { sku: 'a' }));
}

const forNow = {
  'the database is out of reach': new DatabaseUnavailableError('host db.internal is down'),
  'a lock was not granted': new LockTimeoutError('row 17'),
  'the lease was lost': new LeaseLostError('fence 3'),
  'the commit is in doubt': new CommitInDoubtError('socket hang up'),
  'a statement failed before': new UnitOfWorkError('unusable', { cause: new LockTimeoutError('row 17') }),
};
for (const [what, error] of Object.entries(forNow)) {
  test(`UNAVAILABLE where ${what}`, async (t) => {
    const { code, message } = await failureBy(t, async () => Promise.reject(error));
    t.is(code, status.UNAVAILABLE);
    t.false([error.message, 'row 17'].some((inner) => message.includes(inner)));
  });
}

for (const [what, thrown] of Object.entries({ error: new Error('SELECT secret'), nothing: undefined })) {
  test(`INTERNAL, and no word of what it was, where a handler throws an unexpected ${what}`, async (t) => {
    const failure = await failureBy(t, async () => Promise.reject(thrown));
    t.deepEqual(failure, { code: status.INTERNAL, message: 'internal error' });
  });
}

test('a handler that throws before its first await is answered too', async (t) => {
  const failure = await failureBy(t, () => {
    throw failedPrecondition('REASON', 'said so', { a: '1' });
  });
  t.deepEqual(failure, {
    code: status.FAILED_PRECONDITION,
    message: 'said so',
    reason: 'REASON',
    domain: 'shop',
    metadata: { a: '1' },
  });
});
