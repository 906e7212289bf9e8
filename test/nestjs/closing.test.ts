import { status } from '@grpc/grpc-js';
import type { DynamicModule } from '@nestjs/common';
import test from 'ava';
import { singleTenant } from 'grpc-replay-guard';
import { UnitOfWorkError } from 'grpc-replay-guard/database';
import { REPLAY_GUARD_STORE, ReplayGuardModule } from 'grpc-replay-guard/nestjs';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { startLedgerApp } from './ledger-app.js';

/** The module of the guard on SQLite in memory, with a list of what happened. */
function guardWithLog(options: { readonly closeTimeoutMs?: number } = {}) {
  const log: string[] = [];
  const open = async (): Promise<OpenStore> => {
    const opened = await openSqlite({ path: ':memory:' });
    const close = async () => {
      log.push('store closed');
      await opened.close();
    };
    return { ...opened, close };
  };
  return { log, guard: ReplayGuardModule.forRoot({ open, scope: singleTenant(), ...options }) };
}

/** A module whose shutdown hook writes to the database. */
function writingAtShutdown(log: string[]): DynamicModule {
  return {
    module: class Audit {},
    providers: [
      {
        provide: 'audit',
        inject: [REPLAY_GUARD_STORE],
        useFactory: ({ database }: OpenStore) => ({
          async onApplicationShutdown() {
            await database.query("INSERT INTO effects VALUES ('shutdown')");
            log.push('shutdown written');
          },
        }),
      },
    ],
  };
}

/** Starts an application whose handler waits at a barrier, and whose log names what ends. */
async function startWaitingApp(t: Cleanup, grpc?: { readonly gracefulShutdown: boolean }) {
  const { log, guard } = guardWithLog();
  const barrier = new Barrier();
  const app = await startLedgerApp(t, {
    guard,
    imports: [writingAtShutdown(log)],
    script: {
      append: async () => {
        await barrier.pass();
        log.push('handler ended');
      },
    },
    ...(grpc && { grpc }),
  });
  return { app, barrier, log };
}

test('the execution ends and waiting duplicates are refused, then the modules and the store close', async (t) => {
  const { app, barrier, log } = await startWaitingApp(t, { gracefulShutdown: true });
  const first = app.append('ada', { key: 'k' });
  await barrier.reached();
  const duplicate = app.append('ada', { key: 'k' });
  // The duplicate is behind this call on the connection, so it waits when this call is answered.
  await app.append('ada');
  const closed = app.app.close();
  assertRefused(t, await duplicate, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
  t.deepEqual(log, []);
  barrier.open();
  t.like(await first, { code: status.OK, replayed: false });
  await closed;
  t.deepEqual(log, ['handler ended', 'shutdown written', 'store closed']);
});

test('an execution that does not end is rolled back at the time limit', async (t) => {
  const { log, guard } = guardWithLog({ closeTimeoutMs: 50 });
  const barrier = new Barrier();
  let ended: unknown;
  const app = await startLedgerApp(t, {
    guard,
    script: {
      append: async (_account, database) => {
        await barrier.pass();
        ended = await database.query('SELECT 1').catch((error) => error);
      },
    },
    grpc: { gracefulShutdown: true },
  });
  const call = app.append('ada', { key: 'k' });
  await barrier.reached();
  await app.app.close();
  assertRefused(t, await call, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
  t.deepEqual(log, ['store closed']);
  barrier.open();
  await new Promise(setImmediate);
  t.true(ended instanceof UnitOfWorkError);
});

test('without a graceful shutdown the connections end, and the execution is still stored', async (t) => {
  const { app, barrier, log } = await startWaitingApp(t);
  const call = app.append('ada', { key: 'k' });
  await barrier.reached();
  const closed = app.app.close();
  t.not((await call).code, status.OK);
  t.deepEqual(log, []);
  barrier.open();
  await closed;
  t.deepEqual(log, ['handler ended', 'shutdown written', 'store closed']);
});
