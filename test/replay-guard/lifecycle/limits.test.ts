import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import type { Reply } from '../../helpers/calls/call.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { methods, onBoth, openLedger, writeEffect } from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const emptied = emptiedData(test);
const guardOnly = captureUnhandledErrors(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = (policy: object) => Object.fromEntries(paths.map((path) => [path, policy]));

function leaseLost(t: ExecutionContext, reply: Reply<unknown>) {
  t.like(reply, { code: status.UNAVAILABLE, replayed: false });
  t.like(reply.statusDetails, {
    types: ['ErrorInfo', 'RetryInfo'],
    errorInfo: { reason: 'IDEMPOTENCY_LEASE_LOST', domain: 'grpc-replay-guard', metadata: {} },
  });
  const pushback = Number(reply.trailers.get('grpc-retry-pushback-ms')[0]);
  t.is(reply.statusDetails?.retryInfo?.retryDelayMs, pushback);
}

/** Writes and answers. The first execution waits at the barrier after its write, and then writes again. */
function slowOnce(barrier: Barrier, late: Promise<unknown>[]) {
  let executions = 0;
  return (database: Database) =>
    onBoth(async (account, callback) => {
      const first = ++executions === 1;
      await database.transaction(() => writeEffect(database, account));
      if (first) {
        await barrier.pass();
        late.push(writeEffect(database, 'late'));
        late.push(database.transaction(() => writeEffect(database, 'late')));
        await Promise.allSettled(late);
      }
      callback(null, { entryId: `${executions}`, transferId: `${executions}` });
    });
}

for (const engine of engines) {
  for (const method of methods) {
    for (const limit of ['unit limit', 'execution limit'] as const) {
      test.serial(
        `${engine}, ${method}: the ${limit} ends the execution of a handler that never answers`,
        async (t) => {
          const [barrier, late]: [Barrier, Promise<unknown>[]] = [new Barrier(), []];
          const ledger = await openLedger(t, await emptied(t, engine), {
            handlers: slowOnce(barrier, late),
            engine: { unitLimitMs: limit === 'execution limit' ? 20_000 : 1_000 },
            guard: {
              policies:
                limit === 'execution limit' ? policies({ leaseMs: 1_000, maxExecutionMs: 1_000 }) : {},
            },
          });
          leaseLost(t, await ledger.ask(method, 'key', 'alice'));
          t.is(barrier.arrived, 1);
          barrier.open();
          const retry = await ledger.ask(method, 'key', 'alice');
          t.like(retry, { code: status.OK, replayed: false });
          t.is(late.length, 2);
          for (const write of late) await t.throwsAsync(write, { name: 'UnitOfWorkError' });
          t.deepEqual(await ledger.effects(), ['alice']);
          t.is(ledger.entered, 2);
          t.like(await ledger.ask(method, 'key', 'alice'), { bytes: retry.bytes, replayed: true });
        },
      );
    }

    for (const nested of [false, true]) {
      const title = nested
        ? 'a failed statement in a nested transaction does not prevent the commit'
        : 'a failed statement prevents the commit, also when the handler ignores its error';
      test.serial(`${engine}, ${method}: ${title}`, async (t) => {
        let executions = 0;
        const ledger = await openLedger(t, await emptied(t, engine), {
          handlers: (database) =>
            onBoth(async (account, callback) => {
              await writeEffect(database, account);
              const fail = () => database.query('INSERT INTO effects (account, amount) VALUES (NULL, 1)');
              const failing = nested ? () => database.transaction(fail) : fail;
              if (++executions === 1) await failing().catch(() => {});
              callback(null, {});
            }),
        });
        const first = await ledger.ask(method, 'key', 'alice');
        t.is(first.code, nested ? status.OK : status.INTERNAL);
        t.deepEqual(await ledger.effects(), nested ? ['alice'] : []);
        t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: nested });
        t.deepEqual(await ledger.effects(), ['alice']);
      });
    }
  }

  test.serial(
    `${engine}: a handler that writes after the end of its execution does not end the process`,
    async (t) => {
      const barrier = new Barrier();
      const ended: Promise<unknown>[] = [];
      const ledger = await openLedger(t, await emptied(t, engine), {
        engine: { unitLimitMs: 1_000 },
        handlers: (database) =>
          onBoth((account) => {
            const work = async () => {
              await writeEffect(database, account);
              await barrier.pass();
              await writeEffect(database, 'late');
            };
            const running = work();
            ended.push(running.catch(() => {}));
            return running.then(() => {});
          }),
      });
      leaseLost(t, await ledger.append('key', { account: 'alice' }));
      barrier.open();
      await Promise.all(ended);
      await new Promise((resolve) => setImmediate(resolve));
      t.deepEqual(guardOnly.takeUnhandled(), []);
      t.deepEqual(await ledger.effects(), []);
    },
  );
}
