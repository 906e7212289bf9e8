import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'amqplib';
import {
  CommitInDoubtError,
  createConsumer,
  DatabaseUnavailableError,
  MessageInvalidError,
} from 'grpc-replay-guard/consumer';
import { openPostgres } from 'grpc-replay-guard/postgres';

const url = process.env.AMQP_URL ?? 'amqp://127.0.0.1:5672';
const queue = process.env.QUEUE ?? 'payments';

const connection = await connect(url, { timeout: 5_000 }).catch((error) => {
  // Not the whole URL: it may hold a password.
  console.error(`no broker at ${new URL(url).host}: ${error.message || error.code}`);
  process.exit(1);
});
const { database, close } = await openPostgres({ connectionString: process.env.DATABASE_URL });
await database.migrate('payments', [
  'CREATE TABLE payments (account TEXT NOT NULL, amount BIGINT NOT NULL CHECK (amount > 0))',
]);
const consumer = await createConsumer({ database });

const channel = await connection.createChannel();
const quorum = { 'x-queue-type': 'quorum' };
await channel.assertQueue(`${queue}.dead`, { arguments: quorum });
await channel.assertQueue(queue, {
  deadLetterExchange: '',
  deadLetterRoutingKey: `${queue}.dead`,
  // A message that fails again and again, or takes its consumer with it, ends in the dead-letter queue as well.
  arguments: { ...quorum, 'x-delivery-limit': 5 },
});
// No more at once than the database has connections for.
await channel.prefetch(10);

/** Acknowledges a delivery when its payment is committed, by this delivery or an earlier one. */
async function handle(message) {
  try {
    const payment = JSON.parse(message.content.toString());
    const { messageId } = message.properties;
    const name = { consumer: 'payments', scope: queue, messageId };
    const { outcome } = await insist(() => consumer.processOnce(name, () => pay(payment)));
    channel.ack(message);
    console.log(outcome);
  } catch (error) {
    // What no one can read, or tell from others, is of no use to the next one either.
    const hopeless = error instanceof SyntaxError || error instanceof MessageInvalidError;
    channel.nack(message, false, !hopeless);
    console.log(hopeless ? 'dead' : 'failed');
  }
}

async function pay({ account, amount }) {
  await database.query('INSERT INTO payments (account, amount) VALUES ($1, $2)', [account, amount]);
}

const stopping = new AbortController();

/**
 * Tries again while the database is to blame, not the message: whether an unknown commit happened is found out so.
 * Not past the stop: then the message goes back to the broker.
 */
async function insist(attempt) {
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
  // The queue was deleted: what supervises this process starts it again.
  if (!message) process.exit(1);
  const handled = handle(message).finally(() => running.delete(handled));
  running.add(handled);
});
console.log(`consuming from ${queue}`);

// So it does when the connection is lost: the broker delivers again what was not acknowledged.
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
