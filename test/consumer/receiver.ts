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

// Without a unique constraint, a duplicate effect is visible.
const effectsTable = 'CREATE TABLE effects (message TEXT NOT NULL)';
const insert = 'INSERT INTO effects (message) VALUES ($1)';

/** A consumer whose work writes one effect for each message. */
export interface Receiver {
  readonly database: Database;
  readonly consumer: Consumer;
  /** Delivers a message once. `before` and `after` run before and after the effect. */
  deliver(
    message: string | MessageName,
    around?: { before?: () => unknown; after?: () => unknown },
  ): Promise<string>;
  /** How often the work was called. */
  entered: number;
  /** The messages of all committed effects, in order. */
  effects(): Promise<string[]>;
  /** The number of recorded messages. */
  recorded(): Promise<number>;
}

/** The setup of a receiver. */
export interface ReceiverSetup {
  readonly options?: Partial<ConsumerOptions>;
  readonly engine?: EngineOptions;
  /** A database handle that the test has opened. Default: a new handle on the data source. */
  readonly database?: Database;
}

/** Opens a receiver. Several receivers may share one data source. */
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
      const name = typeof message === 'string' ? named(message) : message;
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
    recorded: async () => (await database.query('SELECT id FROM replay_guard_messages')).length,
  };
  return receiver;
}

/** The name of a message of the default consumer and scope. */
export const named = (messageId: string): MessageName => ({
  messageId,
  consumer: 'receiver',
  scope: 'queue',
});

/** Records the events of a consumer. */
export class RecordingObserver implements ConsumerObserver {
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
