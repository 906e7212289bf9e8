import { mock } from 'node:test';
import { status } from '@grpc/grpc-js';
import { type BaggageEntry, type Context, context as contexts, propagation, trace } from '@opentelemetry/api';
import { AlwaysOffSampler, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import test, { type ExecutionContext } from 'ava';
import { createConsumer } from 'grpc-replay-guard/consumer';
import {
  createOpenTelemetryEventTracing,
  createOpenTelemetryMessageTracing,
  createOpenTelemetryTracing,
} from 'grpc-replay-guard/opentelemetry';
import { createOutbox } from 'grpc-replay-guard/outbox';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { note, notebook, openOutbox, relayTo } from '../helpers/databases/outbox.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { outline, RecordedSpans, remoteParent } from '../helpers/servers/recorded-spans.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const spans = new RecordedSpans();
const data = emptiedData(test);

/** A processor of spans that throws. */
class BrokenProcessor implements SpanProcessor {
  readonly #at: 'start' | 'end';
  ends = 0;
  constructor(at: 'start' | 'end') {
    this.#at = at;
  }
  onStart(): void {
    if (this.#at === 'start') throw new Error('the processor is broken');
  }
  onEnd(_span: ReadableSpan): void {
    this.ends++;
    throw new Error('the processor is broken');
  }
  async forceFlush(): Promise<void> {}
  async shutdown(): Promise<void> {}
}

for (const at of ['start', 'end'] as const)
  test.serial(
    `a processor that throws at the ${at} of a span has no effect on calls, events and messages`,
    async (t) => {
      const warnings = mock.method(process, 'emitWarning', () => {});
      t.teardown(() => warnings.mock.restore());
      const processor = new BrokenProcessor(at);
      const tracerProvider = new NodeTracerProvider({ spanProcessors: [processor] });
      const ledger = await openLedger(t, 'memory', {
        guard: { tracing: createOpenTelemetryTracing({ tracerProvider }) },
      });
      const first = await ledger.append('key');
      const again = await ledger.append('key');
      t.deepEqual([first.code, again.code, again.replayed, ledger.entered], [0, 0, true, 1]);

      const { database } = await openOutbox(await data(t, 'sqlite'));
      const tracing = createOpenTelemetryEventTracing({ tracerProvider });
      const outbox = createOutbox({ database, routes: { note: ['desk'] }, tracing });
      await database.transaction(() => outbox.append(note('a', 1)));
      const { notes, write } = notebook();
      t.is(await relayTo(t, outbox, write, { tracing }).runOnce(), 1);
      t.deepEqual(notes, ['a1']);

      const consumer = await createConsumer({
        ...{ database, tracing: createOpenTelemetryMessageTracing({ tracerProvider }) },
      });
      t.teardown(() => consumer.close());
      const message = { consumer: 'stock', messageId: 'm', scope: 'queue' };
      t.is((await consumer.processOnce(message, async () => {})).outcome, 'processed');
      t.is((await consumer.processOnce(message, async () => {})).outcome, 'duplicate');
      const texts = warnings.mock.calls.map(({ arguments: [text] }) => String(text));
      for (const name of at === 'start'
        ? ['callStarted', 'attempted', 'delivered']
        : ['ended', 'attempted', 'delivered'])
        t.true(
          texts.some((text) => text.includes(`the method ${name} of an observer failed`)),
          name,
        );
    },
  );

test.serial('spans that the sampler drops change nothing, and a replay has no link to them', async (t) => {
  const tracerProvider = new NodeTracerProvider({ sampler: new AlwaysOffSampler() });
  const source = await data(t, 'sqlite');
  const off = await openLedger(t, source, {
    guard: { tracing: createOpenTelemetryTracing({ tracerProvider }) },
  });
  const on = await openLedger(t, source, { guard: { tracing: createOpenTelemetryTracing() } });
  const first = await off.append('key');
  const of = remoteParent();
  const replay = await on.append('key', {}, of);
  t.deepEqual(replay.bytes, first.bytes);
  const [span] = spans.of(of);
  t.is(span && outline(span).outcome, 'replayed');
  t.deepEqual(span?.links, []);
});

const secrets = { pepper: 'a pepper', cipherKey: Buffer.alloc(32, 7) };

for (const engine of engines)
  for (const guard of [{}, secrets])
    test.serial(
      `${engine}: replies are equal between servers with and without tracing ${'pepper' in guard ? 'and secrets' : ''}`,
      async (t) => {
        const source = await data(t, engine);
        const traced = await openLedger(t, source, {
          guard: { ...guard, tracing: createOpenTelemetryTracing() },
        });
        const plain = await openLedger(t, source, { guard });
        const names = (reply: Awaited<ReturnType<typeof traced.append>>) =>
          Object.keys(reply.trailers.getMap()).sort();
        for (const [at, other] of [
          [traced, plain],
          [plain, traced],
        ] as const) {
          const key = at === traced ? 'traced' : 'plain';
          const [first, again] = [remoteParent(), remoteParent()];
          const executed = await at.append(key, { account: 'a' }, first);
          const [replayed, own] = [
            await other.append(key, { account: 'a' }, again),
            await at.append(key, { account: 'a' }),
          ];
          t.deepEqual([replayed.bytes, own.bytes], [executed.bytes, executed.bytes]);
          t.deepEqual(names(replayed), names(own));
          t.deepEqual(
            names(replayed).filter((name) => name !== 'idempotent-replayed'),
            names(executed),
          );
          const links = spans.of(again).flatMap((span) => span.links);
          t.deepEqual(links, [], 'a record of a server without tracing has no reference');
        }
        const linked = remoteParent();
        await traced.append('traced', { account: 'a' }, linked);
        t.is(spans.of(linked)[0]?.links.length, 1);
        t.deepEqual(await traced.effects(), ['a', 'a']);
      },
    );

test.serial(
  'a malformed trace context begins a trace, and the handler sees the baggage of its caller',
  async (t) => {
    let baggage: [string, BaggageEntry][] | undefined;
    const ledger = await openLedger(t, 'memory', {
      handlers: () =>
        onBoth((_account, callback) => {
          baggage = propagation.getActiveBaggage()?.getAllEntries();
          callback(null, {});
        }),
      guard: { tracing: createOpenTelemetryTracing() },
    });
    const name = 'test.v1.LedgerService/Append';
    const { metadata } = remoteParent();
    const malformed = [
      ...['', 'no', `${metadata.traceparent}-`, `${metadata.traceparent}, ${metadata.traceparent}`],
      `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`,
      'x'.repeat(5_000),
    ];
    for (const [index, traceparent] of malformed.entries()) {
      const before = spans.named(name).length;
      t.is((await ledger.append(String(index), {}, { metadata: { traceparent } })).code, 0);
      t.is(spans.named(name)[before]?.parentSpanContext, undefined, traceparent.slice(0, 80));
    }
    t.is(baggage, undefined);
    await ledger.append('baggage', {}, { metadata: { ...metadata, baggage: 'tenant=secret-tenant' } });
    t.deepEqual(baggage, [['tenant', { value: 'secret-tenant' }]]);
    t.notRegex(spans.text(), /secret/);
  },
);

test.serial('the span of an execution that outlives its deadline ends with its reply', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { tracing: createOpenTelemetryTracing() },
  });
  const [first, second] = [remoteParent(), remoteParent()];
  const late = ledger.append('key', {}, { ...first, deadlineMs: 300 });
  await barrier.reached(1);
  const waiting = ledger.append('key', {}, { ...second, deadlineMs: 100 });
  // A wait may end shortly before its deadline.
  t.true([status.DEADLINE_EXCEEDED, status.UNAVAILABLE].includes((await waiting).code));
  t.is((await late).code, status.DEADLINE_EXCEEDED);
  barrier.open();
  await ledger.outcomes.reached('executed');
  t.like(spans.of(first).map(outline)[0], { outcome: 'executed', code: 0 });
  t.is(spans.of(second).length, 1, 'the duplicate whose deadline has passed has one span');
});

test.serial('a guard that closes ends the spans of the executions that it stops', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { tracing: createOpenTelemetryTracing() },
  });
  const [first, second] = [remoteParent(), remoteParent()];
  const calls = [ledger.append('key', {}, first), ledger.append('key', {}, second)];
  await barrier.reached(1);
  await poll('the wait', () => ledger.outcomes.waiting === 1);
  await ledger.guard.close({ timeoutMs: 0 });
  for (const { code } of await Promise.all(calls)) t.is(code, status.UNAVAILABLE);
  for (const of of [first, second]) {
    t.is(spans.of(of).length, 1);
    t.like(spans.of(of).map(outline)[0], { code: status.UNAVAILABLE, isError: true });
  }
  barrier.open();
});

/** The work of one call whose tracing has no context manager. */
async function callWithoutContextManager(t: ExecutionContext) {
  let active: Context | undefined;
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth((_account, callback) => {
        active = contexts.active();
        callback(null, {});
      }),
    guard: { tracing: createOpenTelemetryTracing() },
  });
  const of = remoteParent();
  const first = await ledger.append('key', {}, of);
  const again = await ledger.append('key', {}, of);
  t.deepEqual([first.code, again.replayed], [0, true]);
  return { of, active };
}

test.serial('without a context manager each call still has its span, and a replay its link', async (t) => {
  contexts.disable();
  const { of, active } = await callWithoutContextManager(t);
  t.is(active && trace.getSpan(active), undefined);
  const [execution, replay] = spans.of(of);
  t.is(replay?.links[0]?.context.spanId, execution?.spanContext().spanId);
});
