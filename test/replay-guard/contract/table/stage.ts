import { createHash, randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { Database, FoundRecord } from 'grpc-replay-guard';
import { Barrier } from '../../../helpers/barrier.js';
import { writeEffect } from '../../../helpers/guarded-ledger.js';
import { poll } from '../../../helpers/poll.js';
import { scopeDigest } from '../../../helpers/scope-digest.js';
import type { Handling } from './handling.js';
import { type Heard, hear } from './heard.js';
import type { Method, Row, State } from './row.js';
import { CALLER, type Servers, type Site } from './site.js';

/** What a client sends; what is left out is the same in every call of a row. */
export interface Sent {
  readonly method?: Method;
  /** null sends none, a list several. */
  readonly key?: string | readonly string[] | null;
  /** The key that the call asks for, where that is not what it sends in its metadata. */
  readonly asks?: string;
  /** null is nobody. */
  readonly caller?: 'another' | null;
  /** Fields besides the account. */
  readonly request?: object;
  /** More entries of metadata. @param now by the clock of the store, in milliseconds */
  readonly metadata?: (now: number) => Record<string, string | string[]>;
  readonly deadlineMs?: number;
  /** To the second server on the same data. */
  readonly second?: boolean;
}

/** A call that is under way. */
export interface Begun {
  readonly sent: Sent;
  readonly heard: Promise<Heard>;
  /** How many messages have come so far, of a stream. */
  readonly came: () => number;
  /** Cancels it. */
  leave(): void;
}

/** What an execution under way knows of its record, its fence and its expiry, is left as it is. */
const older = `
  UPDATE replay_guard_records SET lease_until = lease_until - $1,
    expires_at = CASE WHEN state <= 0 THEN expires_at ELSE expires_at - $1 END
  WHERE scope = $2`;

/** A row while it is played: its calls, its executions, and what there is of it in the store. */
export class Stage {
  readonly t: ExecutionContext;
  readonly site: Site;
  readonly servers: Servers;
  readonly row: Row;
  readonly method: Method;
  readonly key = `key-${randomUUID()}`;
  readonly caller = `caller-${randomUUID()}`;
  readonly account = `account-${randomUUID()}`;
  /** Calls that the row has begun and not yet heard of. */
  readonly begun: Begun[] = [];
  /** The first reply that was kept under each record's id. */
  readonly kept = new Map<string, Heard>();
  executions = 0;
  /** How many calls have come so far that a guard asked the scope of. */
  arrivals = 0;
  readonly #used = new Map<string, Buffer>();
  readonly #gates: Barrier[] = [];
  #lastCallAt = 0;

  constructor(t: ExecutionContext, site: Site, servers: Servers, row: Row, method: Method) {
    this.t = t;
    this.site = site;
    this.servers = servers;
    this.row = row;
    this.method = method;
  }

  /** The time by the clock of the store. */
  get now(): number {
    return this.site.place === 'postgres' ? Date.now() : this.site.clock.now;
  }

  /** Lets time pass for the store: by its clock, or where that cannot be set by making the records older. */
  async passes(ms: number): Promise<void> {
    if (this.site.place !== 'postgres') this.site.clock.now += ms;
    else await this.servers.first.database.query(older, [ms, scopeDigest(this.caller)]);
  }

  async begin(sent: Sent): Promise<Begun> {
    const { method = this.method, key = this.key, deadlineMs } = sent;
    const caller = this.#callerOf(sent);
    const ledger = sent.second ? this.servers.second : this.servers.first;
    if (!ledger) throw new Error('the setup has no second server');
    this.#lastCallAt = this.now;
    const client = new AbortController();
    let came = 0;
    const account = { [method === 'Transfer' ? 'from' : 'account']: this.account };
    const settings = {
      metadata: {
        ...sent.metadata?.(this.now),
        ...(caller !== null && { [CALLER]: caller }),
        ...(key !== null && { 'idempotency-key': [key].flat() }),
      },
      signal: client.signal,
      onMessage: () => {
        came++;
      },
      ...(deadlineMs !== undefined && { deadlineMs }),
    };
    this.#used.set(this.idOf(sent).toString('hex'), this.idOf(sent));
    const request = { ...account, ...sent.request };
    const heard = hear(ledger.connection, ledger.definition, method, request, settings);
    return { sent, heard, came: () => came, leave: () => client.abort() };
  }

  /** The id of the record that a call asks for, as the contract defines it. */
  idOf(sent: Sent): Buffer {
    const { method = this.method, key = this.key, asks = [key ?? []].flat().join(', ') } = sent;
    const hash = createHash('sha256');
    for (const part of [this.#callerOf(sent) ?? '', `/test.v1.LedgerService/${method}`, asks]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(part));
      hash.update(length).update(part);
    }
    return hash.digest();
  }

  #callerOf({ caller }: Sent): string | null {
    return caller === 'another' ? `another-${this.caller}` : caller === null ? null : this.caller;
  }

  find(sent: Sent): Promise<FoundRecord | undefined> {
    return this.servers.first.store.find(this.idOf(sent));
  }

  /** Where an execution is held, if its script goes there. */
  gate(execution: number): Barrier {
    this.#gates[execution] ??= new Barrier();
    return this.#gates[execution];
  }

  /** Lets everybody go that a row which failed has left at its gate: the next row needs the database. */
  openGates(): void {
    for (const gate of this.#gates) gate?.open();
  }

  /** Runs the row's script as the handler of a call. */
  execute(account: string, database: Database, says: Pick<Handling, 'say' | 'send'>): unknown {
    if (account !== this.account) throw new Error('an execution of another row');
    const execution = ++this.executions;
    const write = async () => {
      if (this.site.place !== 'memory') await writeEffect(database, account);
    };
    return this.row.handler?.({ execution, gate: this.gate(execution), write, ...says });
  }

  /** Asserts for how long the row's key is retained from its claim on. */
  async assertRetained(ms: number): Promise<void> {
    const found = await this.find({});
    const claimedAt = (found && 'expiresAtMs' in found ? found.expiresAtMs : Number.NaN) - ms;
    // A clock that stands still is still at the claim.
    const earliest = this.site.place === 'postgres' ? this.#lastCallAt : this.now;
    this.t.true(claimedAt >= earliest && claimedAt <= this.now, `claimed at ${claimedAt}`);
  }

  /** Waits until there are these records: in mode OBSERVE they follow on the answers. */
  async settles(expected: readonly State[]): Promise<void> {
    const wanted = [...expected].sort().join();
    const isThere = async () => (await this.states()).join() === wanted;
    await poll(`the records are ${wanted}`, isThere, 5_000).catch(async () => {
      this.t.deepEqual(await this.states(), [...expected].sort());
    });
  }

  /** The states of all records that the row's calls asked for. */
  async states(): Promise<State[]> {
    const states = await Promise.all([...this.#used.values()].map((id) => this.#stateOf(id)));
    return states.filter((state) => state !== undefined).sort();
  }

  async #stateOf(id: Buffer): Promise<State | undefined> {
    const { first } = this.servers;
    if (this.site.place === 'memory') return (await first.store.find(id))?.outcome.replace('-', ' ') as State;
    const text = 'SELECT state FROM replay_guard_records WHERE id = $1 AND expires_at > $2';
    const [row] = await first.database.query<{ state: bigint }>(text, [recordKey(id), this.now]);
    return row && (['in progress', 'completed', 'erased'] as const)[Math.max(Number(row.state), 0)];
  }

  /** How many effects are committed; undefined where there is no database. */
  async effects(): Promise<number | undefined> {
    if (this.site.place === 'memory') return undefined;
    const { database } = this.servers.first;
    return (await database.query('SELECT amount FROM effects WHERE account = $1', [this.account])).length;
  }
}

/** What a record is stored under: half of its id. */
export const recordKey = (id: Buffer) => id.subarray(0, 16);
