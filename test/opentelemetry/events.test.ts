import { context, propagation, SpanKind, trace } from '@opentelemetry/api';
import test from 'ava';
import { createOpenTelemetryEventTracing } from 'grpc-replay-guard/opentelemetry';
import { createOutbox, type EventTracing } from 'grpc-replay-guard/outbox';
import { createWebhookDestination } from 'grpc-replay-guard/outbox/webhook';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { failing, NEVER_MS, note, notebook, openOutbox, relayTo } from '../helpers/databases/outbox.js';
import { RecordedSpans } from '../helpers/servers/recorded-spans.js';
import { startReceiver, WEBHOOK_SECRET } from '../helpers/servers/webhook-receiver.js';

const spans = new RecordedSpans();
const data = emptiedData(test);
const tracing = createOpenTelemetryEventTracing();
const routes = { note: ['desk'] };

for (const engine of engines) {
  test.serial(
    `${engine}: each attempt has a span in the trace of the append, and a webhook gets its context`,
    async (t) => {
      const { database } = await openOutbox(await data(t, engine));
      const outbox = createOutbox({ database, routes, tracing });
      const cause = trace.getTracer('test').startSpan('cause');
      const inCause = propagation.setBaggage(
        trace.setSpan(context.active(), cause),
        propagation.createBaggage({ caller: { value: 'secret' } }),
      );
      await context.with(inCause, () =>
        database.transaction(() => outbox.append(note('secret-aggregate', 1))),
      );
      cause.end();
      const [stored] = await database.query('SELECT trace FROM replay_guard_outbox');
      t.notRegex(String(stored?.trace), /secret/);

      await relayTo(t, outbox, failing, { tracing }).runOnce();
      await database.query('UPDATE replay_guard_outbox SET due_at = 0');
      const receiver = await startReceiver(t);
      const retry = { initialBackoffMs: NEVER_MS, maxBackoffMs: NEVER_MS };
      const desk = createWebhookDestination({
        url: receiver.url,
        secret: WEBHOOK_SECRET,
        types: ['note'],
        retry,
      });
      t.is(await relayTo(t, outbox, desk, { tracing }).runOnce(), 1);

      const attempts = spans.of(cause.spanContext()).filter(({ name }) => name === 'deliver desk');
      t.deepEqual(
        attempts.map(({ kind, parentSpanContext, attributes, status }) => [
          kind,
          parentSpanContext?.spanId,
          attributes['replay_guard.outbox.attempt'],
          status.code === 2,
        ]),
        [
          [SpanKind.CONSUMER, cause.spanContext().spanId, 1, true],
          [SpanKind.CONSUMER, cause.spanContext().spanId, 2, false],
        ],
      );
      const { traceId, spanId } = attempts[1]?.spanContext() ?? {};
      t.is(receiver.received[0]?.headers.traceparent, `00-${traceId}-${spanId}-01`);
      t.is(receiver.received[0]?.headers.baggage, undefined);
      t.notRegex(spans.text(), /secret|down/);
    },
  );
}

test.serial('an event that was appended without a trace is delivered, and begins a trace', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  await outbox.database.transaction(() => outbox.append(note('a', 1)));
  await outbox.database.transaction(() => outbox.append(note('b', 1)));
  await outbox.database.query("UPDATE replay_guard_outbox SET trace = 'no JSON' WHERE aggregate = 'b'");
  const before = spans.named('deliver desk').length;
  const { notes, write } = notebook();
  t.is(await relayTo(t, outbox, write, { tracing }).runOnce(), 2);
  t.deepEqual(notes.sort(), ['a1', 'b1']);
  const delivered = spans.named('deliver desk').slice(before);
  t.deepEqual(
    delivered.map(({ parentSpanContext }) => parentSpanContext),
    [undefined, undefined],
  );
});

test.serial('an error of the tracing has no effect on events', async (t) => {
  const broken = (): never => {
    throw new Error('the tracing is broken');
  };
  const { database } = await openOutbox(await data(t, 'sqlite'));
  const afterwards: EventTracing['attempted'] = (_attempt, _headers, deliver) => {
    void deliver({});
    broken();
  };
  for (const attempted of [broken, afterwards, () => {}]) {
    const failingTracing = { appended: broken, attempted };
    const outbox = createOutbox({ database, routes, tracing: failingTracing });
    await database.transaction(() => outbox.append(note('a', 1)));
    const { notes, write } = notebook();
    t.is(await relayTo(t, outbox, write, { tracing: failingTracing }).runOnce(), 1);
    t.deepEqual(notes, ['a1']);
  }
});

test.serial('a tracing that lacks a method is refused', async (t) => {
  const { database } = await openOutbox(await data(t, 'sqlite'));
  t.throws(() => createOutbox({ database, routes, tracing: {} as EventTracing }), { instanceOf: TypeError });
});
