import { randomBytes } from 'node:crypto';
import { mock } from 'node:test';
import { context, SpanKind, trace } from '@opentelemetry/api';
import test from 'ava';
import { createConsumer, type MessageHeaders, type MessageTracing } from 'grpc-replay-guard/consumer';
import { createOpenTelemetryMessageTracing } from 'grpc-replay-guard/opentelemetry';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { RecordedSpans, remoteParent } from '../helpers/servers/recorded-spans.js';

const spans = new RecordedSpans();
const data = emptiedData(test);
const tracing = createOpenTelemetryMessageTracing();
const message = { consumer: 'stock', messageId: 'secret-id', scope: 'secret-queue' };

function outline({ kind, parentSpanContext, attributes, status }: ReturnType<RecordedSpans['of']>[number]) {
  return [
    SpanKind[kind],
    parentSpanContext?.spanId,
    attributes['replay_guard.outcome'],
    attributes['error.type'],
    status.code === 2,
  ];
}

for (const engine of engines) {
  test.serial(`${engine}: each delivery has a span in the trace of its message`, async (t) => {
    const { database } = await (await data(t, engine)).open();
    const consumer = await createConsumer({ database, tracing });
    t.teardown(() => consumer.close());
    const sender = remoteParent();
    const deliver = (work: () => Promise<unknown>) =>
      consumer.processOnce(message, work, { headers: sender.metadata });
    class WorkError extends Error {
      override name = 'WorkError';
    }
    const failed = deliver(async () => {
      await database.query('SELECT 1 AS one');
      throw new WorkError('secret');
    });
    await t.throwsAsync(failed, { instanceOf: WorkError });
    let active: string | undefined;
    await deliver(async () => {
      await database.query('SELECT 1 AS one');
      active = trace.getActiveSpan()?.spanContext().spanId;
    });
    t.is((await deliver(async () => t.fail())).outcome, 'duplicate');

    const seen = spans.of(sender);
    t.deepEqual(seen.map(outline), [
      ['CONSUMER', sender.spanId, 'failed', 'WorkError', true],
      ['CONSUMER', sender.spanId, 'processed', undefined, false],
      ['CONSUMER', sender.spanId, 'duplicate', undefined, false],
    ]);
    t.is(active, seen[1]?.spanContext().spanId, 'the work runs inside the span');
    t.is(seen[0]?.name, 'process stock');
    t.is(seen[0]?.attributes['messaging.consumer.group.name'], 'stock');
    t.notRegex(spans.text(), /secret/);
  });
}

test.serial('a delivery that finds its message in progress is a failed span', async (t) => {
  const source = await data(t, 'postgres');
  const { database } = await source.open({ lockTimeoutMs: 50 });
  const consumer = await createConsumer({ database, tracing });
  t.teardown(() => consumer.close());
  const other = await source.open();
  const sender = remoteParent();
  const details = { headers: sender.metadata };
  await other.database.transaction(async () => {
    const nested = await createConsumer({ database: other.database });
    t.teardown(() => nested.close());
    await nested.processOnce(message, async () => {});
    await t.throwsAsync(
      consumer.processOnce(message, async () => {}, details),
      {
        name: 'MessageInProgressError',
      },
    );
  });
  t.deepEqual(spans.of(sender).map(outline), [
    ['CONSUMER', sender.spanId, 'in_progress', 'MessageInProgressError', true],
  ]);
});

test.serial(
  'a delivery inside an active span is below that span, with a link to another trace',
  async (t) => {
    const { database } = await (await data(t, 'sqlite')).open();
    const consumer = await createConsumer({ database, tracing });
    t.teardown(() => consumer.close());
    const received = trace.getTracer('broker').startSpan('receive');
    const sender = remoteParent();
    const own = { metadata: { traceparent: `00-${received.spanContext().traceId}-${sender.spanId}-01` } };
    for (const { metadata } of [sender, own])
      await context.with(trace.setSpan(context.active(), received), () =>
        consumer.processOnce(message, async () => {}, { headers: metadata }),
      );
    received.end();
    const [processed, again] = spans.of(received.spanContext());
    t.deepEqual(processed && outline(processed).slice(0, 2), ['INTERNAL', received.spanContext().spanId]);
    t.like(processed?.links[0]?.context, { traceId: sender.traceId, spanId: sender.spanId });
    t.deepEqual(again?.links, []);
  },
);

test.serial('headers may be texts, bytes or lists; other headers begin a trace', async (t) => {
  const { database } = await (await data(t, 'sqlite')).open();
  const consumer = await createConsumer({ database, tracing });
  t.teardown(() => consumer.close());
  const parentOf = async (headers: MessageHeaders | undefined) => {
    const before = spans.named('process stock').length;
    const messageId = randomBytes(8).toString('hex');
    await consumer.processOnce({ ...message, messageId }, async () => {}, headers ? { headers } : undefined);
    return spans.named('process stock')[before]?.parentSpanContext?.spanId;
  };
  const { spanId, metadata } = remoteParent();
  const { traceparent } = metadata;
  for (const value of [traceparent, Buffer.from(traceparent), [traceparent], [Buffer.from(traceparent)]])
    t.is(await parentOf({ traceparent: value }), spanId);
  const without = [
    undefined,
    {},
    { traceparent: undefined },
    { traceparent: 7 },
    { traceparent: `${traceparent}-` },
  ];
  for (const headers of without) t.is(await parentOf(headers), undefined);
  await t.throwsAsync(
    consumer.processOnce(message, async () => {}, { header: {} } as object),
    {
      instanceOf: TypeError,
      message: /header/,
    },
  );
});

test.serial('an error of the tracing has no effect on deliveries', async (t) => {
  const warnings = mock.method(process, 'emitWarning', () => {});
  t.teardown(() => warnings.mock.restore());
  const { database } = await (await data(t, 'sqlite')).open();
  const broken = (): never => {
    throw new Error('the tracing is broken');
  };
  const afterwards: MessageTracing['delivered'] = (_consumer, _headers, process) => {
    void process();
    void process();
    broken();
  };
  for (const [index, delivered] of [broken, afterwards, () => {}].entries()) {
    const consumer = await createConsumer({ database, tracing: { delivered } });
    t.teardown(() => consumer.close());
    const name = { ...message, messageId: String(index) };
    t.deepEqual(await consumer.processOnce(name, async () => index), { outcome: 'processed', value: index });
    await t.throwsAsync(consumer.processOnce({ ...name, consumer: '' }, broken), {
      name: 'MessageInvalidError',
    });
  }
  t.is(warnings.mock.callCount(), 2);
});

test('a tracing without its method, and an unknown option, are refused', async (t) => {
  const { database } = await (await data(t, 'sqlite')).open();
  await t.throwsAsync(createConsumer({ database, tracing: {} as MessageTracing }), { instanceOf: TypeError });
  t.throws(() => createOpenTelemetryMessageTracing({ tracer: 1 } as object), {
    instanceOf: TypeError,
    message: /tracer/,
  });
});
