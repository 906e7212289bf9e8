import {
  type Consumer,
  type ConsumerObserver,
  type ConsumerOptions,
  createConsumer,
  type DeliveryOutcome,
  type MessageName,
} from 'grpc-replay-guard/consumer';
import type { Database } from 'grpc-replay-guard/database';
import type { DataSource, EngineOptions } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';

// No unique constraint: it would hide what happens twice.
const effectsTable = 'CREATE TABLE effects (message TEXT NOT NULL)';
const insert = 'INSERT INTO effects (message) VALUES ($1)';

/** A consumer on a database, whose work is to write one effect for each message. */
export interface Receiver {
  readonly database: Database;
  readonly consumer: Consumer;
  /** Delivers a message once; `before` and `after` are done around the effect. */
  deliver(
    message: string | MessageName,
    around?: { before?: () => unknown; after?: () => unknown },
  ): Promise<string>;
  /** How often any delivery has come to its work. */
  entered: number;
  /** The messages of all committed effects, in order. */
  effects(): Promise<string[]>;
  /** How many messages are remembered. */
  remembered(): Promise<number>;
}

export interface ReceiverSetup {
  readonly options?: Partial<ConsumerOptions>;
  readonly engine?: EngineOptions;
  /** Opened by the test itself instead of from the source. */
  readonly database?: Database;
}

/** One more server that receives messages, on data that it may share. */
export async function openReceiver(
  t: Cleanup,
  data: DataSource,
  { options, engine = {}, ...setup }: ReceiverSetup = {},
): Promise<Receiver> {
  const database = setup.database ?? (await data.open({ unitLimitMs: 60_000, ...engine })).database;
  await database.migrate('effects', [effectsTable]);
  const consumer = await createConsumer({ database, ...options });
  t.teardown(() => consumer.close());
  const receiver: Receiver = {
    ...{ database, consumer, entered: 0 },
    deliver: async (message, { before, after } = {}) => {
      const name = typeof message === 'string' ? called(message) : message;
      const result = await consumer.processOnce(name, async () => {
        receiver.entered++;
        await before?.();
        await database.query(insert, [name.messageId]);
        await after?.();
      });
      return result.outcome;
    },
    effects: async () => {
      const rows = await database.query('SELECT message FROM effects ORDER BY message');
      return rows.map(({ message }) => String(message));
    },
    remembered: async () => (await database.query('SELECT id FROM replay_guard_messages')).length,
  };
  return receiver;
}

/** The name of a message of the usual consumer and scope. */
export const called = (messageId: string): MessageName => ({
  messageId,
  consumer: 'receiver',
  scope: 'queue',
});

/** Keeps what it is told, for tests to look at. */
export class Deliveries implements ConsumerObserver {
  readonly ended: [string, DeliveryOutcome][] = [];
  readonly purged: number[] = [];
  readonly failures: unknown[] = [];

  deliveryEnded(consumer: string, outcome: DeliveryOutcome): void {
    this.ended.push([consumer, outcome]);
  }
  messagesPurged(count: number): void {
    this.purged.push(count);
  }
  purgeFailed(error: unknown): void {
    this.failures.push(error);
  }
}
