import { createRequire } from 'node:module';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import test from 'ava';
import { createOpenTelemetryTracing } from 'grpc-replay-guard/opentelemetry';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { RecordedSpans, remoteParent } from '../helpers/servers/recorded-spans.js';

const spans = new RecordedSpans();
const instrumentation = new PgInstrumentation({ enhancedDatabaseReporting: true });
createRequire(import.meta.url)('pg');
createRequire(import.meta.url)('pg-pool');
test.after(() => instrumentation.disable());

for (const addSqlCommenterCommentToQueries of [false, true])
  test.serial(
    `the instrumentation of pg ${addSqlCommenterCommentToQueries ? 'with comments' : ''} shows the statements of a call, without values`,
    async (t) => {
      instrumentation.setConfig({ enhancedDatabaseReporting: true, addSqlCommenterCommentToQueries });
      const ledger = await openLedger(t, 'postgres', { guard: { tracing: createOpenTelemetryTracing() } });
      const of = remoteParent();
      const first = await ledger.append('secret-key', { account: 'secret' }, of);
      t.is(first.code, 0);
      t.deepEqual((await ledger.append('secret-key', { account: 'secret' })).bytes, first.bytes);
      t.deepEqual(await ledger.effects(), ['secret']);
      const all = spans.of(of);
      const call = all.find(({ name }) => name === 'test.v1.LedgerService/Append');
      const statements = all.filter(({ name }) => name.startsWith('pg.query:'));
      t.true(statements.length >= 3);
      for (const { attributes, parentSpanContext, ended } of statements) {
        t.regex(String(attributes['db.query.text']), /^\s*[A-Z]/);
        t.is(parentSpanContext?.spanId, call?.spanContext().spanId);
        t.true(ended);
      }
      t.notRegex(spans.text(), /secret/);
    },
  );
