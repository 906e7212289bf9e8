import { createHash, randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import type { FoundProducer, FoundRecord } from 'grpc-replay-guard/store';
import { writeEffect } from '../../../helpers/servers/guarded-ledger.js';
import { scopeDigest } from '../../../helpers/stores/scope-digest.js';
import { Barrier } from '../../../helpers/waiting/barrier.js';
import { poll } from '../../../helpers/waiting/poll.js';
import { type Heard, hear } from './call-result.js';
import { CALLER, type Servers, type Site } from './engine-servers.js';
import type { Handling } from './handlers.js';
import type { Method, Row, State } from './row.js';

/** What a client sends; what is left out is the same in every call of a row. */
export interface Sent {
  readonly method?: Method;
  /** null sends none, a list several. */
  readonly key?: string | readonly string[] | null;
  /** The key that the call asks for, where that is not what it sends in its metadata. */
  readonly asks?: string;
  /** The call's number, and what else names it, instead of a key. */
  readonly sequence?: Numbered;
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

/** A place in a producer's series; the producer is the row's own unless another is named. */
export interface Numbered {
  readonly producer?: string;
  readonly sequence: number | bigint;
  /** Default: 0, by sending none. */
  readonly epoch?: number | bigint;
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

const olderSeries = `
  UPDATE replay_guard_producers SET lease_until = lease_until - $1,
    expires_at = CASE WHEN state <= 0 THEN expires_at ELSE expires_at - $1 END,
    expires_minute = CASE WHEN state <= 0 THEN expires_minute ELSE (expires_at - $1) / 60000 END
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
  readonly #used = new Map<string, Sent>();
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
    else
      for (const text of [older, olderSeries])
        await this.servers.first.database.query(text, [ms, scopeDigest(this.caller)]);
  }

  async begin(sent: Sent): Promise<Begun> {
    const { method = this.method, key = sent.sequence ? null : this.key, deadlineMs } = sent;
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
        ...(sent.sequence && this.#numbered(sent.sequence)),
      },
      signal: client.signal,
      onMessage: () => {
        came++;
      },
      ...(deadlineMs !== undefined && { deadlineMs }),
    };
    this.#used.set(this.recordIdOf(sent).toString('hex'), sent);
    const request = { ...account, ...sent.request };
    const heard = hear(ledger.connection, ledger.definition, method, request, settings);
    return { sent, heard, came: () => came, leave: () => client.abort() };
  }

  #numbered({ producer = this.key, sequence, epoch }: Numbered) {
    return {
      'idempotency-producer': producer,
      'idempotency-sequence': String(sequence),
      ...(epoch !== undefined && { 'idempotency-epoch': String(epoch) }),
    };
  }

  /** The id of the operation that a call asks for, as the contract defines it. */
  idOf(sent: Sent): Buffer {
    const { method = this.method, key = this.key, asks = [key ?? []].flat().join(', '), sequence } = sent;
    const path = `/test.v1.LedgerService/${method}`;
    const caller = this.#callerOf(sent) ?? '';
    if (!sequence) return digest(caller, path, asks);
    const { producer = this.key, epoch = 0, sequence: number } = sequence;
    return digest('sequence', caller, path, producer, String(epoch), String(number));
  }

  /** The id of the record that a call asks for: of a sequence that of its series. */
  recordIdOf(sent: Sent): Buffer {
    if (!sent.sequence) return this.idOf(sent);
    const { method = this.method, sequence } = sent;
    const path = `/test.v1.LedgerService/${method}`;
    return digest('series', this.#callerOf(sent) ?? '', path, sequence.producer ?? this.key);
  }

  #callerOf({ caller }: Sent): string | null {
    return caller === 'another' ? `another-${this.caller}` : caller === null ? null : this.caller;
  }

  find(sent: Sent): Promise<FoundRecord | FoundProducer | undefined> {
    const { store } = this.servers.first;
    const id = this.recordIdOf(sent);
    return sent.sequence ? store.findProducer(id) : store.find(id);
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
    const states = await Promise.all([...this.#used.values()].map((sent) => this.#stateOf(sent)));
    return states.filter((state) => state !== undefined).sort();
  }

  async #stateOf(sent: Sent): Promise<State | undefined> {
    const { first } = this.servers;
    const found = this.site.place === 'memory' || sent.sequence ? await this.find(sent) : undefined;
    if (found && 'outcome' in found) return found.outcome.replace('-', ' ') as State;
    if (found) return found.running ? 'in progress' : found.completed < 0n ? 'empty' : 'completed';
    if (this.site.place === 'memory' || sent.sequence) return undefined;
    const text = 'SELECT state FROM replay_guard_records WHERE id = $1 AND expires_at > $2';
    const params = [recordKey(this.idOf(sent)), this.now];
    const [row] = await first.database.query<{ state: bigint }>(text, params);
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

function digest(...parts: string[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(part));
    hash.update(length).update(part);
  }
  return hash.digest();
}
