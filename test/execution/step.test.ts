import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { stableId, step } from 'grpc-replay-guard';
import { step as clientStep, createIdempotencyInterceptor, newIntent } from 'grpc-replay-guard/client';
import { Connection } from '../helpers/calls/call.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';

/** A part of a handler: sequential calls, followed by concurrent steps. */
interface Part {
  readonly calls: number;
  readonly steps: readonly Part[];
}

type Pause = () => Promise<unknown>;

/** A guarded handler that runs the work of the test, and a client of a second service. */
async function chain(t: ExecutionContext) {
  let work: () => Promise<unknown> = async () => {};
  const failures: unknown[] = [];
  const far = await openLedger(t, 'memory', {
    guard: { mode: 'OFF' },
    // Returns the key of the call, so that the test knows the key of each call.
    handlers: () =>
      onBoth((_account, callback, call) => {
        callback(null, { entryId: String(call.metadata.get('idempotency-key')[0]) });
      }),
  });
  const interceptors = [createIdempotencyInterceptor()];
  const client = new Connection(far.server.address, credentials.createInsecure(), { interceptors });
  t.teardown(() => client.close());
  const near = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (_account, callback) => {
        await work().catch((error) => failures.push(error));
        // UNAVAILABLE releases the key, so the same key executes again.
        callback({ code: status.UNAVAILABLE });
      }),
  });
  const execute = async (handler: () => Promise<unknown>, key = 'k') => {
    work = handler;
    await near.transfer(key);
  };
  const call = async () => (await client.call(far.definition.Append, {})).message?.entryId;
  return { execute, call, failures };
}

/** Runs a part, with a pause before each action, and notes each key and id under its path in the tree. */
async function perform(
  part: Part,
  path: string,
  call: () => Promise<string | undefined>,
  pause: Pause,
  notes: Map<string, string | undefined>,
): Promise<void> {
  for (let i = 0; i < part.calls; i++) {
    await pause();
    notes.set(`${path} call ${i}`, await call());
  }
  await pause();
  notes.set(`${path} id`, stableId('order'));
  notes.set(`${path} intent`, newIntent().key);
  const inner = part.steps.map(async (child, index) => {
    await pause();
    await step(`step ${index}`, () => perform(child, `${path}/${index}`, call, pause, notes));
  });
  await Promise.all(inner);
}

const { part } = fc.letrec<{ part: Part }>((tie) => ({
  part: fc.record({
    calls: fc.nat(2),
    steps: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant([]),
      fc.array(tie('part'), { maxLength: 3 }),
    ),
  }),
}));

test('the keys and ids of concurrent steps do not depend on the order in which the steps run', async (t) => {
  const { execute, call, failures } = await chain(t);
  const property = fc.asyncProperty(part, fc.scheduler(), async (whole, scheduler) => {
    const inOrder = new Map<string, string | undefined>();
    await execute(() => perform(whole, '', call, async () => {}, inOrder));
    const mixed = new Map<string, string | undefined>();
    const pause = () => scheduler.schedule(Promise.resolve());
    await execute(() => scheduler.waitFor(perform(whole, '', call, pause, mixed)));
    t.deepEqual([...mixed].sort(), [...inOrder].sort());
    t.is(new Set(mixed.values()).size, mixed.size, 'all keys and ids are different');
  });
  await fc.assert(property, { numRuns: 40 });
  t.deepEqual(failures, []);
});

test('steps of different operations have different keys and ids', async (t) => {
  const { execute, call } = await chain(t);
  const notes: Map<string, string | undefined>[] = [];
  for (const key of ['one', 'two']) {
    const own = new Map<string, string | undefined>();
    notes.push(own);
    const whole = { calls: 1, steps: [{ calls: 1, steps: [] }] };
    await execute(() => perform(whole, '', call, async () => {}, own), key);
  }
  const all = notes.flatMap((own) => [...own.values()]);
  t.is(all.length, 12);
  t.is(new Set(all).size, 12);
});

test('nested step names and plain names that concatenate equally give different ids', async (t) => {
  const { execute } = await chain(t);
  const ids: string[] = [];
  const note = () => ids.push(stableId('x'));
  await execute(async () => {
    step('a', () => step('b', note));
    step('ab', note);
    step('b', () => step('a', note));
    step('', note);
    note();
    ids.push(stableId('step'), stableId('a'));
  });
  t.is(ids.length, 7);
  t.is(new Set(ids).size, 7);
});

test('a step name is refused when it has started before in the same call or step, and accepted elsewhere', async (t) => {
  const { execute, failures } = await chain(t);
  let done = 0;
  const count = async () => done++;
  await execute(async () => {
    await step('a', count);
    await step('a', count);
  });
  await execute(async () => Promise.all([step('b', count), step('c', count), step('b', count)]));
  await execute(() => step('a', () => step('a', count)));
  t.is(done, 4);
  t.deepEqual(failures.map(String), [
    'Error: step ["a"] has already started: step names must be unique',
    'Error: step ["b"] has already started: step names must be unique',
  ]);
});

test('outside a guarded call a step only runs its work, and its name can be repeated', (t) => {
  t.is(clientStep, step);
  t.is(step('a', () => 1) + step('a', () => 2), 3);
  t.throws(
    () =>
      step('a', () => {
        throw new Error('own');
      }),
    { message: 'own' },
  );
});
