import pg, { type ClientConfig } from 'pg';
import { outsideOfRequests } from '../context/copies.js';
import { Failover, type HostClient } from '../database/postgres/servers/failover.js';
import { assertKnownOptions } from '../options/known-options.js';
import { backoffMs } from '../timing/backoff.js';
import { within } from '../timing/timeout.js';
import { WakeUpsError } from './errors.js';
import { CHANNEL, type WakeUpObserver, type WakeUps } from './notifications.js';

/** The options of `createPostgresWakeUps`. */
export interface PostgresWakeUpsOptions {
  /**
   * The connection options of `pg`. Its `connectionString` may name several hosts, as the one of `openPostgres`. Connect
   * directly: LISTEN does not work through a pooler that shares connections between transactions.
   */
  readonly client: ClientConfig;
  /**
   * Receives the error of each connection that broke or could not be opened. The observer of the relay receives it, too,
   * as `errorOccurred`.
   */
  readonly onError?: (error: unknown) => void;
}

const RECONNECT_BACKOFF = { initialMs: 250, maxMs: 5_000 };

const CLOSE_TIMEOUT_MS = 1_000;

/**
 * Creates a source of wake-ups for a relay on Postgres. The source executes LISTEN on a connection of its own and
 * wakes the relay when another process appends. After a lost connection, the source connects again and wakes the
 * relay once, because notifications may have been lost.
 * @throws TypeError when an option is unknown, or the connection string is wrong
 */
export function createPostgresWakeUps(options: PostgresWakeUpsOptions): WakeUps {
  assertKnownOptions<PostgresWakeUpsOptions>('createPostgresWakeUps', options, {
    client: true,
    onError: true,
  });
  const { connectionString } = options.client;
  const failover = connectionString === undefined ? undefined : new Failover(connectionString);
  const Client = failover && !failover.isPlain ? failover.Client : pg.Client;
  let listener: Listener | undefined;
  return {
    start(wake, observer) {
      const started = new Listener(options, Client, wake, observer);
      listener = started;
      void outsideOfRequests(() => started.connect());
    },
    stop: async () => listener?.stop(),
  };
}

class Listener {
  readonly #options: PostgresWakeUpsOptions;
  readonly #Client: HostClient;
  readonly #wake: () => void;
  readonly #observer: WakeUpObserver | undefined;
  #client: pg.Client | undefined;
  #failures = 0;
  /** Whether no connection was opened since the last error. */
  #hasFailed = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    options: PostgresWakeUpsOptions,
    Client: HostClient,
    wake: () => void,
    observer: WakeUpObserver | undefined,
  ) {
    this.#options = options;
    this.#Client = Client;
    this.#wake = wake;
    this.#observer = observer;
  }

  /** Opens the connection. If this fails, the promise still resolves, and a timer opens another connection. */
  async connect(): Promise<void> {
    const client = new this.#Client({
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      // Detects a dead connection within seconds. The default of the operating system is about two hours.
      keepAliveInitialDelayMillis: 10_000,
      ...this.#options.client,
    });
    this.#client = client;
    client.on('error', (error) => this.#onLost(client, error));
    client.on('end', () => this.#onLost(client, new Error('the connection for wake-ups was closed')));
    client.on('notification', () => this.#wake());
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      if (this.#hasFailed) this.#observer?.recovered();
      this.#hasFailed = false;
      this.#failures = 0;
      this.#wake();
    } catch (error) {
      this.#onLost(client, error);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (this.#client) await close(this.#client);
  }

  /**
   * Handles the end of a connection. Several events can report the same end, and only the first event has an effect.
   */
  #onLost(client: pg.Client, error: unknown): void {
    if (this.#isStopped || this.#client !== client) return;
    this.#client = undefined;
    void close(client);
    this.#hasFailed = true;
    this.#options.onError?.(error);
    const text = 'the connection for wake-ups failed';
    this.#observer?.errorOccurred(new WakeUpsError(text, { cause: error }));
    const pauseMs = backoffMs(RECONNECT_BACKOFF, this.#failures++);
    this.#timer = setTimeout(() => void this.connect(), pauseMs);
  }
}

/** Ends a connection. Destroys the socket if the database does not answer in time. */
async function close(client: pg.Client): Promise<void> {
  await within(
    client.end().catch(() => {}),
    { ms: CLOSE_TIMEOUT_MS, otherwise: () => {} },
  );
  client.connection.stream.destroy();
}
