import { randomBytes } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import {
  createReplayGuard,
  type ObservedMethod,
  type ObservedRefusal,
  type ReplayGuardObserver,
  scopeFromMetadata,
  singleTenant,
} from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { REASONS } from 'grpc-replay-guard/protocol';
import { Registry } from 'prom-client';
import { type LedgerSetup, openLedger } from '../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../helpers/servers/ledger.js';

/** Starts a ledger that records its refusals. The caller is named by the entry `user`. */
async function open(t: ExecutionContext, setup: LedgerSetup = {}) {
  const refusals: (ObservedRefusal & ObservedMethod)[] = [];
  const observer: Partial<ReplayGuardObserver> = {
    callRefused(method, { reason, code, peer, scopeDigest, quota }) {
      refusals.push({ ...method, reason, code, peer, scopeDigest, quota });
    },
  };
  const guard = { scope: scopeFromMetadata('user'), ...setup.guard, observer };
  return { ledger: await openLedger(t, 'sqlite', { ...setup, guard }), refusals };
}

const alice = { metadata: { user: 'alice' } };

test('a refusal has method, reason, status, peer and the digest of the scope', async (t) => {
  const { ledger, refusals } = await open(t);
  await ledger.append('a', { amountMinor: 1 }, alice);
  await ledger.append('a', { amountMinor: 2 }, alice);
  t.is(refusals.length, 1);
  t.like(refusals[0], {
    ...{ service: 'test.v1.LedgerService', method: 'Append' },
    ...{ reason: REASONS.KEY_REUSED, code: 9, quota: undefined },
    scopeDigest: ledger.guard.scopeDigest('alice'),
  });
  t.regex(refusals[0]?.peer ?? '', /^127\.0\.0\.1:\d+$/);
  t.regex(refusals[0]?.scopeDigest ?? '', /^[\w-]{16}$/);
});

test('a call that is refused before its caller is known has no digest', async (t) => {
  const { ledger, refusals } = await open(t);
  await ledger.append(undefined, {}, alice);
  await ledger.append('a', {}, {});
  t.deepEqual(
    refusals.map(({ reason, scopeDigest }) => [reason, scopeDigest]),
    [
      [REASONS.KEY_MISSING, undefined],
      [REASONS.SCOPE_MISSING, undefined],
    ],
  );
});

test('a refusal by a quota has the quota and its limit', async (t) => {
  const { ledger, refusals } = await open(t, { guard: { quotas: { liveKeysPerScope: 1 } } });
  for (const key of ['a', 'b']) await ledger.append(key, {}, alice);
  t.like(refusals[0], { reason: REASONS.QUOTA_EXCEEDED, quota: { quota: 'live_keys', limit: 1 } });
});

test('servers with one pepper return one digest, and every guard without a pepper has its own', (t) => {
  const digest = (scope: string, pepper?: string | Buffer) => {
    const options = { store: createMemoryStore(), scope: singleTenant(), ...(pepper && { pepper }) };
    const guard = createReplayGuard(options);
    t.teardown(async () => void (await guard.close()));
    return guard.scopeDigest(scope);
  };
  const pepper = randomBytes(32);
  t.is(digest('alice', pepper), digest('alice', pepper));
  t.not(digest('alice', pepper), digest('bob', pepper));
  t.not(digest('alice', pepper), digest('alice', randomBytes(32)));
  t.not(digest('alice'), digest('alice'), 'a caller that can be guessed stays unknown');
});

test('every counter of a method starts at 0 when the method is protected, and a second guard keeps the counts', async (t) => {
  const register = new Registry();
  const protect = () => {
    const observer = createPrometheusObserver(register);
    const guard = createReplayGuard({ store: createMemoryStore(), scope: singleTenant(), observer });
    t.teardown(async () => void (await guard.close()));
    guard.protect(loadLedger());
    return observer;
  };
  const first = protect();
  const metrics = await register.getMetricsAsJSON();
  const sampled = new Map(metrics.map(({ name, values }) => [name, values]));
  for (const { name } of metrics)
    t.true((sampled.get(name)?.length ?? 0) > 0, `${name} has no sample before the first call`);
  const reasons = sampled.get('replay_guard_refusals_total') ?? [];
  const ofAppend = reasons.filter(({ labels }) => labels.method === 'Append');
  t.deepEqual(ofAppend.map(({ labels }) => labels.reason).sort(), Object.values(REASONS).sort());
  t.true(reasons.every(({ value }) => value === 0));

  const method = { service: 'test.v1.LedgerService', method: 'Append' };
  first.callEnded(method, 'executed');
  first.executionEnded(method, 0.2);
  protect();
  const text = await register.metrics();
  t.regex(text, /^replay_guard_calls_total\{[^}]*method="Append",outcome="executed"\} 1$/m);
  t.regex(text, /^replay_guard_handler_duration_seconds_count\{[^}]*method="Append"\} 1$/m);
  t.regex(text, /^replay_guard_waiting_limit 20000$/m);
});

test('a metric whose unit is time names it by Prometheus conventions', async (t) => {
  const register = new Registry();
  createPrometheusObserver(register);
  for (const { name, type } of await register.getMetricsAsJSON()) {
    const kind = String(type);
    if (name.includes('seconds')) t.regex(name, /_(duration|age)_seconds$/);
    t.is(name.endsWith('_total'), kind === 'counter', `${name} is a ${kind}`);
  }
});
