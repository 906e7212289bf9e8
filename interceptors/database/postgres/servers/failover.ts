import pg, { type ClientConfig, type PoolConfig } from 'pg';
import { within } from '../../../timing/timeout.js';
import { DatabaseReadOnlyError } from '../../errors.js';
import { type Hosts, readHosts } from './hosts.js';

/** How long a connection to one of the hosts, and its check, may take together, in milliseconds. */
const TOTAL_MS = 5_000;
const MIN_HOST_MS = 1_000;

/** Errors of a host that another host would repeat: a wrong user, password or name of the database. */
const final = /^(28|3D)/;

const accepts = `SELECT pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only`;

/** The callback that pg calls when a client is connected, or when the connection has failed. */
type Connected = ((error: Error) => void) | ((error: null, client: pg.Client) => void);

/** A client of pg that has chosen its host. */
export type HostClient = new (config?: ClientConfig) => pg.Client;

/**
 * The hosts of one database, and the host that the next connection tries first. After a failure of a host, or if a host
 * does not suit `target_session_attrs`, the next connection tries the next host. So a failover needs no proxy.
 */
export class Failover {
  readonly #hosts: Hosts;
  #current = 0;
  /** The errors after which another host may be tried. */
  readonly #passing = new WeakSet<object>();
  /** The last failure of each host. */
  readonly #reasons = new Map<number, string>();

  /** @throws TypeError when the connection string is wrong */
  constructor(connectionString: string) {
    this.#hosts = readHosts(connectionString);
  }

  /** The number of hosts. */
  get count(): number {
    return this.#hosts.urls.length;
  }

  /** The class of the clients that connect to the host which is current when they are created. */
  readonly Client: HostClient = this.#clientClass();

  /** Whether an ordinary client of pg suffices: there is one host, and every host suits `target_session_attrs`. */
  get isPlain(): boolean {
    return this.count === 1 && this.#hosts.target === 'any';
  }

  /** The options of a pool whose clients choose their host. */
  get poolOptions(): PoolConfig {
    return { Client: this.Client as unknown as NonNullable<PoolConfig['Client']> };
  }

  /** Whether the next host may be tried after the error with which a connection could not be opened. */
  mayTryNext(error: unknown): boolean {
    return this.#isPassing(error) || (error instanceof Error && this.#isPassing(error.cause));
  }

  /** Returns the error to report when no host could be used. It names the failure of each host. */
  summary(error: Error): Error {
    if (this.count === 1 || !this.mayTryNext(error)) return error;
    const reasons = [...this.#reasons].map(([index, reason]) => `host ${index + 1}: ${reason}`);
    return new Error(reasons.join('; '), { cause: error });
  }

  #isPassing(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.#passing.has(error);
  }

  #clientClass(): HostClient {
    const connect = (client: pg.Client, index: number, open: () => Promise<unknown>) =>
      this.#connect(client, index, open);
    const next = () => this.#next();
    return class extends pg.Client {
      readonly #index: number;

      constructor(config: ClientConfig = {}) {
        const { index, ...own } = next();
        super({ ...config, ...own });
        this.#index = index;
        // The pool listens to the errors of a client when the client is connected. The check comes before.
        this.on('error', () => {});
      }

      override connect(): Promise<pg.Client>;
      override connect(callback: Connected): void;
      override connect(callback?: Connected): Promise<pg.Client> | undefined {
        const connected = connect(this as pg.Client, this.#index, () => super.connect());
        if (!callback) return connected;
        const done = callback as (error: Error | null, client?: pg.Client) => void;
        connected.then((client) => done(null, client), done);
        return undefined;
      }
    } as HostClient;
  }

  #next() {
    const { urls } = this.#hosts;
    const ms = Math.max(MIN_HOST_MS, TOTAL_MS / urls.length);
    const connectionString = urls[this.#current] as string;
    return { index: this.#current, connectionString, connectionTimeoutMillis: ms };
  }

  async #connect(client: pg.Client, index: number, open: () => Promise<unknown>): Promise<pg.Client> {
    try {
      await open();
      await this.#check(client);
      this.#reasons.delete(index);
      return client;
    } catch (error) {
      void client.end().catch(() => {});
      this.#failed(index, error as Error);
      throw error;
    }
  }

  /** @throws DatabaseReadOnlyError when the host is read-only or a standby, and `target_session_attrs` excludes that */
  async #check(client: pg.Client): Promise<void> {
    const { target } = this.#hosts;
    if (target === 'any') return;
    const found = client.query<{ is_standby: boolean; is_read_only: boolean }>(accepts);
    const { rows } = await within(found, { ms: TOTAL_MS / this.count, otherwise: tooLate });
    const [row] = rows;
    if (target === 'primary' && row?.is_standby) throw new DatabaseReadOnlyError('the host is a standby');
    if (target === 'read-write' && row?.is_read_only) {
      throw new DatabaseReadOnlyError('the host accepts reads only');
    }
  }

  #failed(index: number, error: Error): void {
    this.#reasons.set(index, error.message);
    const code = 'code' in error ? String(error.code) : '';
    if (final.test(code)) return;
    this.#passing.add(error);
    // Several connections may have failed at the same host.
    if (this.#current === index) this.#current = (index + 1) % this.count;
  }
}

function tooLate(): never {
  throw new Error('the host did not answer in time');
}
