import { Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { type Engine, engines, freshData } from '../../helpers/databases/engines.js';
import { methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const hour = 3_600_000;
const trueNow = Date.now;

/** The metadata of a call that was first sent `aheadMs` milliseconds from now. */
function sentIn(aheadMs: number): Metadata {
  const metadata = new Metadata();
  metadata.set('idempotency-first-sent', new Date(trueNow() + aheadMs).toISOString());
  return metadata;
}

/** Sets the clock of this process an hour back, until the end of the test. */
function setProcessBack(t: ExecutionContext): void {
  Date.now = () => trueNow() - hour;
  t.teardown(() => {
    Date.now = trueNow;
  });
}

/** Makes a store whose clock is right, although the clock of the process may be wrong. */
const withRightClock = async (t: ExecutionContext, engine: Engine) => ({
  data: await freshData(t, engine),
  engine: { clock: () => trueNow() },
});

for (const engine of engines) {
  test.serial(
    `${engine}: on a server whose clock is an hour slow, calls execute, join, wait and replay`,
    async (t) => {
      setProcessBack(t);
      const source = await withRightClock(t, engine);
      const barrier = new Barrier();
      t.teardown(() => barrier.open());
      const options = {
        engine: source.engine,
        handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
      };
      const ledger = await openLedger(t, source.data, options);
      const other = await openLedger(t, source.data, options);
      // The client's clock is right, so its calls are an hour ahead of the server.
      const settings = { metadata: sentIn(0), deadlineMs: 30_000 };
      const first = ledger.transfer('key', {}, settings);
      await barrier.reached();
      const joining = ledger.transfer('key', {}, settings);
      const waiting = other.transfer('key', {}, settings);
      barrier.open();
      for (const reply of await Promise.all([first, joining, waiting])) t.like(reply, { code: status.OK });
      t.like(await other.transfer('key', {}, settings), { code: status.OK, replayed: true });
      t.is(barrier.arrived, 1);
    },
  );
}

for (const method of methods) {
  test(`${method}: a call with a first-sent time in the future joins a running execution`, async (t) => {
    const barrier = new Barrier();
    const ledger = await openLedger(t, 'memory', {
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    });
    t.teardown(() => barrier.open());
    const first = ledger.ask(method, 'key');
    await barrier.reached();
    const second = ledger.ask(method, 'key', '', { metadata: sentIn(360_000) });
    barrier.open();
    t.like(await first, { code: status.OK });
    t.like(await second, { code: status.OK, replayed: true });
    t.is(ledger.entered, 1);
  });

  test(`${method}: a call with a first-sent time in the future gets the stored reply, also with a full quota`, async (t) => {
    const ledger = await openLedger(t, 'memory', { guard: { quotas: { liveKeysPerScope: 1 } } });
    t.like(await ledger.ask(method, 'key'), { code: status.OK });
    t.like(await ledger.ask(method, 'key', '', { metadata: sentIn(360_000) }), { replayed: true });
  });

  test(`${method}: a call with a first-sent time in the future does not execute`, async (t) => {
    const ledger = await openLedger(t, 'memory');
    const refused = await ledger.ask(method, 'key', '', { metadata: sentIn(360_000) });
    assertRefused(t, refused, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_EXPIRED');
    t.is(ledger.entered, 0);
  });
}
