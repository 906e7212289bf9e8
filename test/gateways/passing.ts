import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { Connection } from '../helpers/calls/call.js';
import type { JsonAnswer } from '../helpers/calls/post-json.js';
import { type Ledger, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

/** Returns a function that declares tests. On a machine without the program such a test reports that it did not run. */
export function testsOf(program: string, path: string | undefined) {
  return (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test(title, async (t) => {
      if (path !== undefined) return check(t);
      t.log(`did not run: this machine has no ${program}`);
      t.pass();
    });
}

/** Asserts that keys reach a server through a proxy for gRPC, and that trailers and refusals reach the client. */
export async function assertPasses(t: ExecutionContext, client: Connection, ledger: Ledger): Promise<void> {
  const append = (key: string, account = 'ada') =>
    client.call(ledger.definition.Append, { account }, { key });
  const first = await append('k-1');
  t.is(first.code, status.OK, first.details);
  t.is(first.trailers.get('idempotency-expires-at').length, 1);
  const again = await append('"k-1"');
  t.true(again.replayed);
  t.deepEqual(again.bytes, first.bytes);
  assertRefused(t, await append('k-1', 'bob'), status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  assertRefused(t, await append('a b'), status.INVALID_ARGUMENT, 'IDEMPOTENCY_KEY_INVALID', 'BadRequest');
  t.is(ledger.entered, 1);
}

/** Asserts that a proxy for JSON passes a key with and without quotes, and copies the trailers of a reply to headers. */
export async function assertJsonReplays(
  t: ExecutionContext,
  post: (account: string, headers: Record<string, string>) => Promise<JsonAnswer>,
): Promise<void> {
  const first = await post('ada', { 'idempotency-key': '"k-1"' });
  t.is(first.status, 200);
  t.is(first.headers['idempotent-replayed'], undefined);
  const again = await post('ada', { 'idempotency-key': 'k-1' });
  t.is(again.headers['idempotent-replayed'], 'true');
  t.is(again.headers['idempotency-expires-at'], first.headers['idempotency-expires-at']);
  t.false(Number.isNaN(Date.parse(String(again.headers['idempotency-expires-at']))));
  t.deepEqual(again.body, first.body);
}

/** Opens a ledger on SQLite whose handlers wait at a gate before they write. */
export async function openGatedLedger(t: ExecutionContext) {
  const gate = new Barrier();
  const ledger = await openLedger(t, 'sqlite', {
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await gate.pass();
        await writeEffect(database, account);
        callback(null, { entryId: 'e-1' });
      }),
  });
  return { gate, ledger };
}
