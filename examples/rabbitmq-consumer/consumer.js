import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'amqplib';
import { createConsumer, MessageInvalidError } from 'grpc-replay-guard/consumer';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createOpenTelemetryMessageTracing } from 'grpc-replay-guard/opentelemetry';
import { openPostgres } from 'grpc-replay-guard/postgres';

const url = process.env.AMQP_URL ?? 'amqp://127.0.0.1:5672';
const queue = process.env.QUEUE ?? 'payments';

const connection = await connect(url, { timeout: 5_000 }).catch((error) => {
  // The message has only the host, because the URL may contain a password.
  console.error(`no broker at ${new URL(url).host}: ${error.message || error.code}`);
  process.exit(1);
});
const { database, close } = await openPostgres({ connectionString: process.env.DATABASE_URL });
await database.migrate('payments', [
  'CREATE TABLE payments (account TEXT NOT NULL, amount BIGINT NOT NULL CHECK (amount > 0))',
]);
// Without an SDK of OpenTelemetry, this makes no spans.
const consumer = await createConsumer({ database, tracing: createOpenTelemetryMessageTracing() });

const channel = await connection.createChannel();
const quorum = { 'x-queue-type': 'quorum' };
await channel.assertQueue(`${queue}.dead`, { arguments: quorum });
await channel.assertQueue(queue, {
  deadLetterExchange: '',
  deadLetterRoutingKey: `${queue}.dead`,
  // After five redeliveries a message goes to the dead-letter queue, also if it crashes the consumer.
  arguments: { ...quorum, 'x-delivery-limit': 5 },
});
// The pool of the database has 10 connections.
await channel.prefetch(10);

/** Processes a delivery and acknowledges it after the commit of its payment. */
async function handle(message) {
  try {
    const payment = JSON.parse(message.content.toString());
    const { messageId, headers } = message.properties;
    const id = { consumer: 'payments', scope: queue, messageId };
    const process = () => consumer.processOnce(id, () => pay(payment), { headers });
    const { outcome } = await retryWhileUnavailable(process);
    channel.ack(message);
    console.log(outcome);
  } catch (error) {
    // A message that is malformed or has no id can never be processed.
    const isDead = error instanceof SyntaxError || error instanceof MessageInvalidError;
    channel.nack(message, false, !isDead);
    console.log(isDead ? 'dead' : 'failed');
  }
}

async function pay({ account, amount }) {
  await database.query('INSERT INTO payments (account, amount) VALUES ($1, $2)', [account, amount]);
}

const stopping = new AbortController();

/**
 * Retries while the database is unavailable, and after a commit in doubt: the next attempt finds the record or
 * processes the message. At a stop it rejects, and the message returns to the broker.
 */
async function retryWhileUnavailable(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError || error instanceof CommitInDoubtError)) throw error;
    }
    await delay(1_000, undefined, { signal: stopping.signal });
  }
}

const running = new Set();
const { consumerTag } = await channel.consume(queue, (message) => {
  // The broker sends null when the queue was deleted. A supervisor should restart this process.
  if (!message) process.exit(1);
  const handled = handle(message).finally(() => running.delete(handled));
  running.add(handled);
});
console.log(`consuming from ${queue}`);

// After a lost connection the process ends. The broker redelivers unacknowledged messages.
const exit = () => process.exit(1);
connection.on('error', (error) => console.error(error.message)).on('close', exit);

process.once('SIGTERM', async () => {
  await channel.cancel(consumerTag);
  stopping.abort();
  await Promise.all(running);
  await channel.close();
  connection.off('close', exit);
  await connection.close();
  await consumer.close();
  await close();
});
