import { mock } from 'node:test';
import { status } from '@grpc/grpc-js';
import { context, SpanKind, trace } from '@opentelemetry/api';
import test, { type ExecutionContext } from 'ava';
import { type CallTracing, type ReplayGuardOptions, scopeFromMetadata } from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import { createOpenTelemetryTracing } from 'grpc-replay-guard/opentelemetry';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { outline, RecordedSpans, remoteParent } from '../helpers/servers/recorded-spans.js';
import { PassingStore } from '../helpers/stores/passing-store.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const spans = new RecordedSpans();
const data = emptiedData(test);
const tracing = createOpenTelemetryTracing();

type Trace = ReturnType<typeof remoteParent>;

/** Returns the only span of a trace. */
function only(t: ExecutionContext, of: Trace) {
  const [span, ...others] = spans.of(of);
  if (!span || others.length > 0) throw new Error(`${others.length + (span ? 1 : 0)} spans`);
  t.is(span.parentSpanContext?.spanId, of.spanId);
  return span;
}

for (const engine of engines) {
  for (const method of ['append', 'transfer'] as const) {
    test.serial(
      `${engine}: ${method}: an execution, its joined duplicate and its replay have a server span each`,
      async (t) => {
        const barrier = new Barrier();
        let active: string | undefined;
        const ledger = await openLedger(t, await data(t, engine), {
          handlers: (database) =>
            onBoth(async (_account, callback) => {
              await database.query('SELECT 1 AS one');
              await barrier.pass();
              active = trace.getActiveSpan()?.spanContext().spanId;
              callback(null, { entryId: 'one' });
            }),
          guard: { tracing },
        });
        const [first, joined, replay] = [remoteParent(), remoteParent(), remoteParent()];
        const executing = ledger.ask(method, 'secret-key', 'secret-account', first);
        await barrier.reached(1);
        const joining = ledger.ask(method, 'secret-key', 'secret-account', joined);
        await poll('the wait', () => ledger.outcomes.waiting === 1);
        barrier.open();
        const [original, duplicate] = await Promise.all([executing, joining]);
        const replayed = await ledger.ask(method, 'secret-key', 'secret-account', replay);
        t.deepEqual([duplicate.bytes, replayed.bytes], [original.bytes, original.bytes]);
        const names = [original, duplicate, replayed].map(({ trailers }) =>
          Object.keys(trailers.getMap()).sort(),
        );
        t.deepEqual(
          names[0],
          names[1]?.filter((name) => name !== 'idempotent-replayed'),
        );
        t.deepEqual(names[1], names[2]);

        const execution = only(t, first);
        const { spanId } = execution.spanContext();
        t.is(execution.name, `test.v1.LedgerService/${method === 'append' ? 'Append' : 'Transfer'}`);
        t.is(active, spanId, 'the handler runs inside the span');
        t.like(execution.attributes, {
          ...{ 'rpc.system.name': 'grpc', 'rpc.method': execution.name, 'rpc.status_code': 'OK' },
        });
        t.like(outline(execution), { kind: 'SERVER', outcome: 'executed', code: 0, isError: false });
        t.deepEqual(execution.links, []);
        for (const [of, outcome] of [
          [joined, 'joined'],
          [replay, 'replayed'],
        ] as const) {
          const span = only(t, of);
          t.like(outline(span), { kind: 'SERVER', outcome, code: 0 });
          t.like(span.links[0]?.context, { traceId: first.traceId, spanId });
        }
        t.true(Number(only(t, joined).attributes['replay_guard.wait.duration']) > 0);
        t.false('replay_guard.wait.duration' in only(t, replay).attributes);
        t.notRegex(spans.text(), /secret/);
      },
    );
  }
}

type Ask = Awaited<ReturnType<typeof openLedger>>['ask'];

/** Makes one call with a trace of its own. Resolves to the outline of its only span. */
async function traced(
  t: ExecutionContext,
  { ask }: { readonly ask: Ask },
  ...[method, key]: Parameters<Ask>
) {
  const parent = remoteParent();
  const { code } = await ask(method, key, '', parent);
  const seen = outline(only(t, parent));
  t.is(seen.code, code);
  return seen;
}

const memory = (t: ExecutionContext, guard: Partial<ReplayGuardOptions> = {}) =>
  openLedger(t, 'memory', { guard: { tracing, ...guard } });

test.serial('a refused call has a server span with the reason of the refusal', async (t) => {
  t.like(await traced(t, await memory(t), 'append', undefined), {
    ...{ kind: 'SERVER', outcome: 'key_missing', reason: 'IDEMPOTENCY_KEY_MISSING', isError: false },
  });
  const scoped = await memory(t, { scope: scopeFromMetadata('x-tenant') });
  t.like(await traced(t, scoped, 'append', 'key'), {
    ...{ outcome: 'refused', reason: 'IDEMPOTENCY_SCOPE_MISSING', isError: false },
  });
  class DownStore extends PassingStore {
    override claim(): never {
      throw new Error('down');
    }
  }
  t.like(await traced(t, await memory(t, { store: new DownStore(createMemoryStore()) }), 'append', 'key'), {
    ...{ outcome: 'refused', reason: 'IDEMPOTENCY_STORE_UNAVAILABLE', isError: true },
  });
  const ledger = await memory(t);
  await ledger.append('key', { account: 'one' });
  t.like(await traced(t, ledger, 'append', 'key'), {
    ...{ outcome: 'reused', reason: 'IDEMPOTENCY_KEY_REUSED', isError: false },
  });
});

test.serial('the span of a duplicate whose wait ends has the duration of the wait', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { tracing, policies: { '/test.v1.LedgerService/Append': { waitMs: 20 } } },
  });
  const executing = ledger.append('key');
  await barrier.reached(1);
  const parent = remoteParent();
  await ledger.ask('append', 'key', '', parent);
  const span = only(t, parent);
  t.like(outline(span), { outcome: 'in_progress', reason: 'IDEMPOTENCY_KEY_IN_PROGRESS', isError: true });
  t.true(Number(span.attributes['replay_guard.wait.duration']) >= 0.019);
  barrier.open();
  await executing;
});

test.serial('a handler that fails ends its span as an error without the text of the error', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async () => {
        throw new Error('secret');
      }),
    guard: { tracing },
  });
  t.like(await traced(t, ledger, 'append', 'key'), {
    outcome: 'released',
    code: status.INTERNAL,
    isError: true,
  });
  t.notRegex(spans.text(), /secret/);
});

test.serial('the span of an execution ends with its reply, not with its client', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { tracing },
  });
  const [parent, client] = [remoteParent(), new AbortController()];
  const left = ledger.ask('append', 'key', '', { ...parent, signal: client.signal });
  await barrier.reached(1);
  client.abort();
  t.is((await left).code, status.CANCELLED);
  t.deepEqual(spans.of(parent), []);
  barrier.open();
  await ledger.outcomes.reached('executed');
  t.like(outline(only(t, parent)), { outcome: 'executed', code: 0 });
});

test.serial('a call that runs without a claim ends its span with the answer of the handler', async (t) => {
  const fails: ReplayGuardOptions['policies'] = {
    '/test.v1.LedgerService/Append': { key: 'OPTIONAL' },
  };
  const open = (mode: 'ENFORCE' | 'OBSERVE') =>
    openLedger(t, 'memory', {
      handlers: () => onBoth((_account, callback) => callback({ code: status.NOT_FOUND, details: 'secret' })),
      guard: { tracing, mode, policies: fails },
    });
  const bypassed = { kind: 'SERVER', outcome: 'bypassed', code: status.NOT_FOUND, isError: false };
  t.like(await traced(t, await open('ENFORCE'), 'append', undefined), bypassed);
  const observed = await open('OBSERVE');
  const parent = remoteParent();
  await observed.ask('append', 'key', '', parent);
  t.like(outline(only(t, parent)), bypassed);
  t.is(only(t, parent).attributes['replay_guard.would_be'], 'executed');
});

test.serial('a call without a trace context begins a trace', async (t) => {
  const ledger = await memory(t);
  const before = spans.named('test.v1.LedgerService/Append').length;
  await ledger.append('key');
  const [span] = spans.named('test.v1.LedgerService/Append').slice(before);
  t.is(span?.parentSpanContext, undefined);
});

test.serial('a replay of an execution that was not sampled has no link', async (t) => {
  const ledger = await memory(t);
  const { traceId, spanId } = remoteParent();
  await ledger.ask('append', 'key', '', { metadata: { traceparent: `00-${traceId}-${spanId}-00` } });
  const parent = remoteParent();
  t.true((await ledger.ask('append', 'key', '', parent)).replayed);
  t.deepEqual(only(t, parent).links, []);
});

test.serial('the span of the guard is INTERNAL below the span of an earlier interceptor', async (t) => {
  const tracer = trace.getTracer('other');
  const outer = tracer.startSpan('outer', { kind: SpanKind.SERVER });
  const ledger = await openLedger(t, 'memory', {
    before: [
      (_method, call) => {
        const start = call.start.bind(call);
        call.start = (listener) =>
          start({
            onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
            onReceiveMessage: (message) => listener.onReceiveMessage(message),
            onReceiveHalfClose: () =>
              context.with(trace.setSpan(context.active(), outer), () => listener.onReceiveHalfClose()),
            onCancel: () => listener.onCancel(),
          });
        return call as never;
      },
    ],
    guard: { tracing },
  });
  await ledger.append('key');
  const [span] = spans.of(outer.spanContext());
  outer.end();
  t.like(span && outline(span), {
    kind: 'INTERNAL',
    parent: outer.spanContext().spanId,
    outcome: 'executed',
  });
});

const broken = (): never => {
  throw new Error('the tracing is broken');
};

test.serial('an error of the tracing has no effect on calls', async (t) => {
  const warnings = mock.method(process, 'emitWarning', () => {});
  t.teardown(() => warnings.mock.restore());
  const afterwards = (work: () => unknown) => {
    work();
    return broken();
  };
  const brokenTrace = {
    ...{ executionStarted: broken, waitEnded: broken, observed: broken },
    ...{ reference: broken, ended: broken },
  };
  const traces: (() => unknown)[] = [
    broken,
    () => ({ ...brokenTrace, run: broken, runHandler: broken }),
    () => ({
      ...brokenTrace,
      run: afterwards,
      runHandler: (_metadata: unknown, work: () => unknown) => afterwards(work),
    }),
    () => ({ ...brokenTrace, run: () => undefined, runHandler: () => undefined }),
  ];
  for (const callStarted of traces) {
    const ledger = await memory(t, { tracing: { callStarted } as CallTracing });
    const first = await ledger.append('key');
    const again = await ledger.append('key');
    t.deepEqual([first.code, again.code, ledger.entered], [0, 0, 1]);
    t.deepEqual(again.bytes, first.bytes);
  }
  const texts = warnings.mock.calls.map(({ arguments: [text] }) => String(text));
  t.true(texts.includes('the method runHandler of an observer failed; its later failures are not reported'));
});

test('an unknown option of the tracing is refused', (t) => {
  const open = (options: object) => () => createOpenTelemetryTracing(options);
  t.throws(open({ handlerSpan: 'guard' }), { instanceOf: TypeError, message: /handlerSpan/ });
  t.throws(open({ handlerSpans: 'both' }), { instanceOf: TypeError, message: /handlerSpans/ });
});
