import { status } from '@grpc/grpc-js';
import type { DynamicModule } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import test from 'ava';
import { singleTenant } from 'grpc-replay-guard';
import { ReplayGuardModule, type ReplayGuardModuleOptions } from 'grpc-replay-guard/nestjs';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { concat, from, of, throwError } from 'rxjs';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { ledger, startLedgerApp } from './ledger-app.js';

const scope = singleTenant();
const inMemory: ReplayGuardModuleOptions = { open: () => openSqlite({ path: ':memory:' }), scope };

test('a duplicate gets the first reply, and the handler has written once', async (t) => {
  const { append, effects } = await startLedgerApp(t, { guard: ReplayGuardModule.forRoot(inMemory) });
  const first = await append('ada', { key: 'k' });
  t.like(first, { code: status.OK, replayed: false, message: { entryId: 'ada' } });
  const second = await append('ada', { key: 'k' });
  t.like(second, { code: status.OK, replayed: true });
  t.deepEqual(second.bytes, first.bytes);
  assertRefused(t, await append('bob', { key: 'k' }), status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  assertRefused(t, await append('bob'), status.INVALID_ARGUMENT, 'IDEMPOTENCY_KEY_MISSING', 'BadRequest');
  t.deepEqual(await effects(), ['ada']);
});

test('a factory makes the options from other providers', async (t) => {
  const settings: DynamicModule = {
    module: class Settings {},
    providers: [{ provide: 'path', useValue: ':memory:' }],
    exports: ['path'],
  };
  const guard = ReplayGuardModule.forRootAsync({
    imports: [settings],
    inject: ['path'],
    useFactory: async (path: string) => ({
      ...inMemory,
      open: () => openSqlite({ path }),
      retentionMs: 60_000,
    }),
  });
  const { append } = await startLedgerApp(t, { guard });
  const { code, trailers } = await append('ada', { key: 'k' });
  t.is(code, status.OK);
  const [expiry] = trailers.get('idempotency-expires-at');
  t.true(Date.parse(String(expiry)) <= Date.now() + 60_000);
});

test('an RpcException with a kept code is replayed, and its writes roll back', async (t) => {
  let executions = 0;
  const { append, effects } = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot(inMemory),
    script: {
      append: () => {
        executions++;
        throw new RpcException({ code: status.NOT_FOUND, message: 'no account' });
      },
    },
  });
  t.like(await append('ada', { key: 'k' }), { code: status.NOT_FOUND, replayed: false });
  const again = await append('ada', { key: 'k' });
  t.like(again, { code: status.NOT_FOUND, details: 'no account', replayed: true });
  t.is(executions, 1);
  t.deepEqual(await effects(), []);
});

test('an error that is not an RpcException releases the key, and its writes roll back', async (t) => {
  let executions = 0;
  const { append, effects } = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot(inMemory),
    script: {
      append: () => {
        if (executions++ === 0) throw new Error('a fault');
      },
    },
  });
  t.is((await append('ada', { key: 'k' })).code, status.UNKNOWN);
  t.deepEqual(await effects(), []);
  t.like(await append('ada', { key: 'k' }), { code: status.OK, replayed: false });
  t.deepEqual(await effects(), ['ada']);
});

test('a lost database is refused as unavailable, although NestJS hides the error of the handler', async (t) => {
  const connectionString = await freshDatabase(t);
  let executions = 0;
  const { append, effects } = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot({ open: () => openPostgres({ connectionString }), scope }),
    script: {
      append: async (_account, database) => {
        if (executions++ === 0) await database.query('SELECT pg_terminate_backend(pg_backend_pid())');
      },
    },
  });
  const refused = await append('ada', { key: 'k' });
  assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
  t.like(await append('ada', { key: 'k' }), { code: status.OK, replayed: false });
  t.deepEqual(await effects(), ['ada']);
});

test('an observable is recorded as a stream and replayed message for message', async (t) => {
  let executions = 0;
  const { settle } = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot(inMemory),
    script: {
      settle: () => {
        executions++;
        return from([{ entryId: 'one' }, { entryId: 'two' }, { entryId: 'three' }]);
      },
    },
  });
  const first = await settle('ada', { key: 'k' });
  t.like(first, { code: status.OK, replayed: false });
  const read = first.messages.map((bytes) => ledger.Settle.responseDeserialize(bytes).entryId);
  t.deepEqual(read, ['one', 'two', 'three']);
  const second = await settle('ada', { key: 'k' });
  t.like(second, { code: status.OK, replayed: true });
  t.deepEqual(second.messages, first.messages);
  t.is(executions, 1);
});

test('an observable that fails sends no message of its stream', async (t) => {
  const failure = () => new RpcException({ code: status.NOT_FOUND, message: 'no account' });
  const { settle } = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot(inMemory),
    script: { settle: () => concat(of({ entryId: 'one' }), throwError(failure)) },
  });
  for (const replayed of [false, true]) {
    const reply = await settle('ada', { key: 'k' });
    t.like(reply, { code: status.NOT_FOUND, details: 'no account', replayed });
    t.deepEqual(reply.messages, []);
  }
});
