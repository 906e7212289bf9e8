import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { Connection } from '../helpers/calls/call.js';
import type { Ledger } from '../helpers/servers/guarded-ledger.js';

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
