import { setTimeout as delay } from 'node:timers/promises';
import pg, { type ClientConfig } from 'pg';
import { CHANNEL } from './notifications.js';
import type { WakeUps } from './relay/relay.js';

export interface ListeningOptions {
  /**
   * How to reach the database itself: a pooler that shares connections between transactions cannot listen.
   * `connectionString`, or whatever else `pg` takes.
   */
  readonly client: ClientConfig;
  /** Told of each connection that broke or could not be made. */
  readonly onTrouble?: (error: unknown) => void;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

const GOODBYE_MS = 1_000;

/**
 * Wakes a relay when another process appends, by LISTEN on a connection of its own, which is made anew whenever
 * it breaks. What was appended meanwhile is looked for as soon as it is back.
 */
export function createPostgresWakeUps(options: ListeningOptions): WakeUps {
  let listener: Listener | undefined;
  return {
    start(wake) {
      listener = new Listener(options, wake);
      void listener.connect();
    },
    stop: async () => listener?.stop(),
  };
}

class Listener {
  readonly #options: ListeningOptions;
  readonly #wake: () => void;
  #client: pg.Client | undefined;
  #failures = 0;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ListeningOptions, wake: () => void) {
    this.#options = options;
    this.#wake = wake;
  }

  /** Never rejects. */
  async connect(): Promise<void> {
    const client = new pg.Client({
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      // A connection that leads nowhere is noticed in seconds, not in hours.
      keepAliveInitialDelayMillis: 10_000,
      ...this.#options.client,
    });
    this.#client = client;
    client.on('error', (error) => this.#lost(client, error));
    client.on('end', () => this.#lost(client, new Error('the connection for wake-ups was closed')));
    client.on('notification', () => this.#wake());
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      this.#failures = 0;
      this.#wake();
    } catch (error) {
      this.#lost(client, error);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#client) await hangUp(this.#client);
  }

  /** Once for each connection, however many signs of its end there are. */
  #lost(client: pg.Client, error: unknown): void {
    if (this.#stopped || this.#client !== client) return;
    this.#client = undefined;
    void hangUp(client);
    this.#options.onTrouble?.(error);
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#failures++, 10), LONGEST_PAUSE_MS);
    this.#timer = setTimeout(() => void this.connect(), pauseMs);
  }
}

/** Says goodbye, and does not wait for the answer of a database that is out of reach. */
async function hangUp(client: pg.Client): Promise<void> {
  const enough = new AbortController();
  const late = delay(GOODBYE_MS, undefined, { signal: enough.signal }).catch(() => {});
  await Promise.race([client.end().catch(() => {}), late]);
  enough.abort();
  client.connection.stream.destroy();
}
