import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

/** The metadata of a call whose first-sent time is six minutes in the future. */
function sentInFuture(): Metadata {
  const metadata = new Metadata();
  metadata.set('idempotency-first-sent', new Date(Date.now() + 360_000).toISOString());
  return metadata;
}

for (const method of methods) {
  test(`${method}: a call with a first-sent time in the future does not join a running execution`, async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    });
    t.teardown(() => barrier.open());
    const first = ledger.ask(method, 'key');
    await barrier.reached();
    const refused = await ledger.ask(method, 'key', '', { metadata: sentInFuture() });
    assertRefused(t, refused, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_EXPIRED');
    barrier.open();
    t.like(await first, { code: status.OK });
  });

  test(`${method}: a call with a first-sent time in the future gets no stored reply, also with a full quota`, async (t) => {
    const ledger = await openLedger(t, 'memory', { guard: { quotas: { liveKeysPerScope: 1 } } });
    t.like(await ledger.ask(method, 'key'), { code: status.OK });
    t.like(await ledger.ask(method, 'key'), { replayed: true });
    const refused = await ledger.ask(method, 'key', '', { metadata: sentInFuture() });
    assertRefused(t, refused, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_EXPIRED');
  });
}
