import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createConsumer } from 'grpc-replay-guard/consumer';
import {
  createOpenTelemetryConsumerObserver,
  createOpenTelemetryEventTracing,
  createOpenTelemetryMessageTracing,
  createOpenTelemetryObserver,
  createOpenTelemetryOutboxObserver,
  createOpenTelemetryTracing,
} from 'grpc-replay-guard/opentelemetry';
import { createOutbox, createRelay, migrateOutbox } from 'grpc-replay-guard/outbox';
import { openPostgres } from 'grpc-replay-guard/postgres';

// The .proto declares the policies by an option of the library. The loader needs the file of this option.
const option = import.meta.resolve('grpc-replay-guard/proto/replayguard/v1/policy.proto');
const includeDirs = [import.meta.dirname, fileURLToPath(new URL('../..', option))];
const { 'example.v1.Payments': Payments } = loadSync('payments.proto', { includeDirs });

const { store, database, close } = await openPostgres({
  connectionString: process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/payments',
});
await migrateOutbox(database);
await database.migrate('payments', [
  'CREATE TABLE payments (id TEXT PRIMARY KEY, account TEXT NOT NULL, amount BIGINT NOT NULL)',
  'CREATE TABLE receipts (payment TEXT PRIMARY KEY)',
]);

const guard = createReplayGuard({
  store,
  scope: singleTenant(),
  tracing: createOpenTelemetryTracing(),
  observer: createOpenTelemetryObserver(),
});
const consumer = await createConsumer({
  database,
  tracing: createOpenTelemetryMessageTracing(),
  observer: createOpenTelemetryConsumerObserver(),
});
const tracing = createOpenTelemetryEventTracing();
const outbox = createOutbox({ database, routes: { 'payment.charged': ['receipts'] }, tracing });
const relay = createRelay({
  outbox,
  tracing,
  observer: createOpenTelemetryOutboxObserver(),
  destinations: { receipts: { deliveries: { 'payment.charged': writeReceipt } } },
});
relay.start();

/** Another service would get `headers` with the message, for example as the headers of a message of RabbitMQ. */
async function writeReceipt(event, { headers }) {
  const message = { consumer: 'receipts', scope: 'payments', messageId: event.id };
  const write = () => database.query('INSERT INTO receipts VALUES ($1)', [event.payload.id]);
  await consumer.processOnce(message, write, { headers });
}

const server = new Server({ interceptors: [guard.interceptor] });
server.addService(guard.protect(Payments), {
  async Charge({ request: { account, amount } }, callback) {
    const id = randomUUID();
    await database.query('INSERT INTO payments VALUES ($1, $2, $3)', [id, account, amount]);
    await outbox.append({ type: 'payment.charged', aggregate: account, payload: { id } });
    callback(null, { paymentId: id });
  },
  GetAccount({ request: { account } }, callback) {
    database
      .query('SELECT id FROM payments WHERE account = $1', [account])
      .then((rows) => callback(null, { paymentIds: rows.map(({ id }) => id) }), callback);
  },
});

const address = process.env.GRPC_ADDRESS ?? '127.0.0.1:50051';
server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`serving on port ${port}`);
});

process.once('SIGTERM', () => {
  server.tryShutdown(async () => {
    await relay.stop();
    await consumer.close();
    await guard.close();
    await close();
  });
});
