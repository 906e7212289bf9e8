import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { Attempt, Effect, Execution, LoadOperation, RoundHistory, Tables } from './history.js';
import { judge } from './judge.js';
import type { Invariant } from './rule.js';

const operation: LoadOperation = {
  scope: 'alice',
  method: 'append',
  name: { key: 'key' },
  account: 'account',
};
const NOW_MS = 1_000_000;

let attempts = 0;

/** A call with an OK reply of execution `e1`, unless the test says otherwise. */
function attempt(changes: Partial<Attempt> = {}): Attempt {
  attempts++;
  return {
    ...{
      id: `a${attempts}`,
      operation,
      isOtherRequest: false,
      beganAt: attempts * 10,
      endedAt: attempts * 10 + 5,
    },
    ...{ code: status.OK, reason: '', details: '', replayed: false, bytes: 'aa', execution: 'e1' },
    expiresAtMs: NOW_MS + 1_000,
    ...changes,
  };
}

const replay = (changes: Partial<Attempt> = {}) => attempt({ replayed: true, ...changes });
const refused = (code: status, reason: string, changes: Partial<Attempt> = {}) =>
  attempt({ code, reason, bytes: '', execution: '', expiresAtMs: undefined, ...changes });

function effect({ id }: Attempt, changes: Partial<Effect> = {}): Effect {
  const { scope, method, account } = operation;
  return { execution: 'e1', attempt: id, scope, method, account, item: 'item', ...changes };
}

function execution({ id, beganAt }: Attempt, changes: Partial<Execution> = {}): Execution {
  const { scope, method, account } = operation;
  const [startedAt, endedAt] = [beganAt + 1, beganAt + 4];
  return { id: 'e1', attempt: id, scope, method, account, startedAt, endedAt, ...changes };
}

/** The history of a round in which one operation was executed once and replayed once. */
function history(
  changes: Partial<Omit<RoundHistory, 'tables'>> = {},
  tables: Partial<Tables> = {},
): RoundHistory {
  const first = attempt();
  const all = changes.attempts ?? [first, replay()];
  const effects = tables.effects ?? [effect(all[0] as Attempt)];
  return {
    ...{ operations: [operation], attempts: all, executions: [execution(all[0] as Attempt)] },
    ...{ stockPerItem: 10, faultsEndedAt: 0, recoveryMs: 1_000_000, crashes: [] },
    ...changes,
    tables: {
      effects,
      stock: [{ item: 'item', onHand: 10 - effects.length, reserved: effects.length }],
      events: effects.map((each) => each.execution),
      ...{ retains: () => true, nowMs: NOW_MS, leftovers: 0 },
      ...tables,
    },
  };
}

const broken = (given: RoundHistory) => [...new Set(judge(given).map(({ invariant }) => invariant))].sort();

function breaks(title: string, expected: Invariant[], given: () => RoundHistory): void {
  test(`${title}: breaks ${expected.join(' and ')}`, (t) => {
    t.deepEqual(
      broken(given()),
      expected,
      judge(given())
        .map(({ what }) => what)
        .join('\n'),
    );
  });
}

test('one execution and its replay break no invariant', (t) => {
  t.deepEqual(judge(history()), []);
});

test('a stored failure without an effect breaks no invariant', (t) => {
  const failure = { code: status.NOT_FOUND, bytes: '', execution: '' };
  t.deepEqual(judge(history({ attempts: [attempt(failure), replay(failure)] }, { effects: [] })), []);
});

test('transient refusals before and after the first reply break no invariant', (t) => {
  const unavailable = (reason: string) => refused(status.UNAVAILABLE, reason);
  const first = attempt();
  const all = [
    unavailable('IDEMPOTENCY_OUTCOME_UNKNOWN'),
    first,
    unavailable('IDEMPOTENCY_STORE_UNAVAILABLE'),
    refused(status.DEADLINE_EXCEEDED, ''),
    replay(),
  ];
  t.deepEqual(
    judge(history({ attempts: all, executions: [execution(first)] }, { effects: [effect(first)] })),
    [],
  );
});

test('a key with a short retention that expires before its result breaks no invariant', (t) => {
  const short = { ...operation, method: 'close' } as const;
  const expired = refused(status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_EXPIRED', { operation: short });
  const executions = [execution(expired, { method: 'close' })];
  t.deepEqual(judge(history({ operations: [short], attempts: [expired], executions }, { effects: [] })), []);
});

breaks('two effects of one key', [1], () => {
  const all = [attempt(), replay()];
  const effects = [effect(all[0] as Attempt), effect(all[0] as Attempt, { execution: 'e2' })];
  return history({ attempts: all }, { effects });
});

breaks('an OK reply without an effect', [1], () => history({}, { effects: [] }));

breaks('a reply of another execution than the effect', [1], () => {
  const all = [attempt(), replay()];
  return history({ attempts: all }, { effects: [effect(all[0] as Attempt, { execution: 'e2' })] });
});

breaks('a stored failure with an effect', [1, 4], () =>
  history({ attempts: [attempt({ code: status.NOT_FOUND, bytes: '', execution: '' })] }),
);

breaks('two different replies', [2], () => history({ attempts: [attempt(), replay({ bytes: 'bb' })] }));

breaks('two replies that are not replays', [2, 3], () => history({ attempts: [attempt(), attempt()] }));

breaks('a call that executes after the first reply', [3], () => {
  const all = [attempt(), replay()];
  return history({ attempts: all, executions: all.map((each) => execution(each)) });
});

breaks('a lasting refusal after the first reply', [3, 5], () =>
  history({ attempts: [attempt(), refused(status.DATA_LOSS, 'IDEMPOTENCY_REPLY_UNREADABLE')] }),
);

for (const reason of ['IDEMPOTENCY_STORE_UNAVAILABLE', 'IDEMPOTENCY_LEASE_LOST']) {
  breaks(`an effect of a call that was told ${reason}`, [4], () => {
    const told = refused(status.UNAVAILABLE, reason);
    return history({ attempts: [told, replay()], executions: [execution(told)] });
  });
}

breaks('an effect of a call that was told that its handler failed', [4], () => {
  const told = refused(status.INTERNAL, '', { details: 'the handler failed; nothing was committed' });
  return history({ attempts: [told, replay()], executions: [execution(told)] });
});

breaks('an effect of a call whose handler threw', [4], () => {
  const told = refused(status.UNKNOWN, '', { details: 'no stock' });
  return history({ attempts: [told, replay()], executions: [execution(told)] });
});

breaks('an effect of a call that no client sent', [4], () => {
  const all = [attempt(), replay()];
  return history({ attempts: all }, { effects: [effect(all[0] as Attempt, { attempt: 'unknown' })] });
});

breaks('a refused reuse of a key that entered the handler', [4], () => {
  const reused = refused(status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED', { isOtherRequest: true });
  const first = attempt();
  return history(
    { attempts: [first, reused], executions: [execution(first), execution(reused)] },
    { effects: [effect(first)] },
  );
});

breaks('a key without a result', [5], () =>
  history(
    { attempts: [refused(status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN')], executions: [] },
    { effects: [] },
  ),
);

breaks('a result that comes too late after the faults', [5], () => history({ recoveryMs: 0 }));

breaks('an operation that was never answered', [5], () => {
  const other = { ...operation, name: { key: 'other' }, account: 'other' };
  return history({ operations: [operation, other] });
});

breaks('stock that vanished', [6], () => history({}, { stock: [{ item: 'item', onHand: 8, reserved: 1 }] }));

breaks('negative stock', [6], () => history({}, { stock: [{ item: 'item', onHand: 11, reserved: -1 }] }));

breaks('a reservation without an effect', [6], () =>
  history({}, { stock: [{ item: 'item', onHand: 8, reserved: 2 }] }),
);

breaks('an event without an effect', [6], () => history({}, { events: ['e1', 'e2'] }));

breaks('an effect without an event', [6], () => history({}, { events: [] }));

breaks('two events of one effect', [6], () => history({}, { events: ['e1', 'e1'] }));

breaks('one execution that answers two callers', [1, 7], () => {
  const other = { ...operation, scope: 'bob' };
  return history({ operations: [operation, other], attempts: [attempt(), replay({ operation: other })] });
});

breaks('a record that is gone before its expiry', [8], () => history({}, { retains: () => false }));

test('a record that is gone after its expiry breaks no invariant', (t) => {
  t.deepEqual(judge(history({}, { retains: () => false, nowMs: NOW_MS + 2_000 })), []);
});

breaks('expired records that stay', [8], () => history({}, { leftovers: 1 }));

test('expired records may stay after a clock was set back', (t) => {
  t.deepEqual(judge(history({ mayKeepExpired: true }, { leftovers: 1 })), []);
});

test('a key past its retention may stay in progress after a clock was set back', (t) => {
  const short = { ...operation, method: 'close' } as const;
  const waiting = refused(status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', { operation: short });
  const given = { operations: [short], attempts: [waiting], executions: [] };
  t.deepEqual(judge(history({ ...given, mayKeepExpired: true }, { effects: [] })), []);
  t.deepEqual(broken(history(given, { effects: [] })), [5]);
});

breaks('two executions during one lease', ['lease'], () => {
  const leased = { ...operation, method: 'transfer' } as const;
  const [first, second] = [attempt({ operation: leased }), replay({ operation: leased })];
  const run = (id: string, of: Attempt, startedAt: number) =>
    execution(of, { id, method: 'transfer', startedAt, endedAt: startedAt + 50 });
  return history(
    {
      ...{
        operations: [leased],
        attempts: [first, { ...second, beganAt: first.beganAt }],
        quietLeaseMs: 1_000,
      },
      executions: [run('e1', first, 0), run('e2', first, 10)],
    },
    { effects: [effect(first, { method: 'transfer' })] },
  );
});

breaks('a server process that ended on its own', ['process'], () => history({ crashes: ['a server ended'] }));
