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

/** Calls a method whose handler throws. Returns the failure of the call. */
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

const transient = {
  'the database is unavailable': new DatabaseUnavailableError('host db.internal is down'),
  'a lock was not granted in time': new LockTimeoutError('row 17'),
  'the lease was lost': new LeaseLostError('fence 3'),
  'the commit is in doubt': new CommitInDoubtError('socket hang up'),
  'an earlier statement of the transaction failed': new UnitOfWorkError('unusable', {
    cause: new LockTimeoutError('row 17'),
  }),
};
for (const [what, error] of Object.entries(transient)) {
  test(`a call fails with UNAVAILABLE and without the cause if ${what}`, async (t) => {
    const { code, message } = await failureBy(t, async () => Promise.reject(error));
    t.is(code, status.UNAVAILABLE);
    t.false([error.message, 'row 17'].some((inner) => message.includes(inner)));
  });
}

for (const [what, thrown] of Object.entries({
  'an unexpected error': new Error('SELECT secret'),
  undefined: undefined,
})) {
  test(`a call fails with INTERNAL and without the cause if its handler throws ${what}`, async (t) => {
    const failure = await failureBy(t, async () => Promise.reject(thrown));
    t.deepEqual(failure, { code: status.INTERNAL, message: 'internal error' });
  });
}

test('a handler that throws before its first await fails the call', async (t) => {
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

test('a log that throws does not reject the promise of the handler', async (t) => {
  const throwing = new Proxy(silent, {
    get: (log, name) =>
      name === 'warn'
        ? () => {
            throw new Error('the log is full');
          }
        : Reflect.get(log, name),
  });
  const handler = unary(async () => Promise.reject(new LockTimeoutError('row 17')), throwing);
  const call = { request: {}, getPath: () => '/service/Method' };
  await t.notThrowsAsync(async () => handler(call as never, () => {}));
});
