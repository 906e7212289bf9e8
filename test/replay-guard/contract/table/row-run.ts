import { randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { ERROR_DOMAIN } from 'grpc-replay-guard/protocol';
import type { FoundProducer, FoundRecord } from 'grpc-replay-guard/store';
import { sequenceSettings } from '../../../helpers/calls/sequence-settings.js';
import { writeEffect } from '../../../helpers/servers/guarded-ledger.js';
import { scopeDigest } from '../../../helpers/stores/scope-digest.js';
import { Barrier } from '../../../helpers/waiting/barrier.js';
import { poll } from '../../../helpers/waiting/poll.js';
import { type CallInput, callerOf, operationIdOf, recordAddressOf, recordKey } from './call-input.js';
import { type CallResult, makeCall } from './call-result.js';
import { CALLER, type EngineServers, type Servers } from './engine-servers.js';
import type { Responder, Script } from './handlers.js';
import type { Method } from './setup.js';

/** The state of a stored record. A series without a completed call is empty. */
export type State = 'in progress' | 'completed' | 'erased' | 'empty';

/** A call that a row has started and not yet awaited. */
export interface StartedCall {
  readonly sent: CallInput;
  readonly result: Promise<CallResult>;
  /** Returns the number of stream messages received so far. */
  readonly messagesReceived: () => number;
  /** Cancels the call on the client. */
  cancel(): void;
}

/** Makes records older. A record in progress keeps its expiry, because its execution remembers the expiry. */
const ageRecords = `
  UPDATE replay_guard_records SET lease_until = lease_until - $1,
    expires_at = CASE WHEN state <= 0 THEN expires_at ELSE expires_at - $1 END
  WHERE scope = $2`;

const ageSeries = `
  UPDATE replay_guard_producers SET lease_until = lease_until - $1,
    expires_at = CASE WHEN state <= 0 THEN expires_at ELSE expires_at - $1 END,
    expires_minute = CASE WHEN state <= 0 THEN expires_minute ELSE (expires_at - $1) / 60000 END
  WHERE scope = $2`;

/** One run of a row: its calls, its executions and its stored records. */
export class RowRun {
  readonly t: ExecutionContext;
  readonly engine: EngineServers;
  readonly servers: Servers;
  readonly method: Method;
  readonly key = `key-${randomUUID()}`;
  readonly caller = `caller-${randomUUID()}`;
  readonly account = `account-${randomUUID()}`;
  /** The started calls whose result the row has not awaited, oldest first. */
  readonly startedCalls: StartedCall[] = [];
  /** The first stored reply of each operation, by operation id. */
  readonly firstReplies = new Map<string, CallResult>();
  /** How many clients have received a refusal that is no replay, by reason. */
  readonly refusals: Record<string, number> = {};
  executions = 0;
  /** The number of calls for which a guard has asked for the scope. */
  guardedCalls = 0;
  readonly #handler: Script;
  readonly #inputs = new Map<string, CallInput>();
  readonly #gates: Barrier[] = [];
  #lastCallAt = 0;

  constructor(t: ExecutionContext, engine: EngineServers, servers: Servers, handler: Script, method: Method) {
    this.t = t;
    this.engine = engine;
    this.servers = servers;
    this.method = method;
    this.#handler = handler;
  }

  /** The time by the clock of the store. */
  get now(): number {
    return this.engine.storeName === 'postgres' ? Date.now() : this.engine.clock.now;
  }

  /** Advances the clock of the store. Postgres has no clock to set, so its records are made older instead. */
  async advance(ms: number): Promise<void> {
    if (this.engine.storeName !== 'postgres') this.engine.clock.now += ms;
    else
      for (const text of [ageRecords, ageSeries])
        await this.servers.first.database.query(text, [ms, scopeDigest(this.caller)]);
  }

  /** Starts a call and does not wait for its result. */
  async start(sent: CallInput): Promise<StartedCall> {
    const { method = this.method, key = sent.sequence ? null : this.key, deadlineMs, sequence } = sent;
    const caller = callerOf(sent, this);
    const ledger = sent.second ? this.servers.second : this.servers.first;
    if (!ledger) throw new Error('the setup has no second server');
    this.#lastCallAt = this.now;
    const client = new AbortController();
    let received = 0;
    const account = { [method === 'Transfer' ? 'from' : 'account']: this.account };
    const settings = {
      metadata: {
        ...sent.metadata?.(this.now),
        ...(caller !== null && { [CALLER]: caller }),
        ...(key !== null && { 'idempotency-key': [key].flat() }),
        ...(sequence &&
          sequenceSettings(sequence.producer ?? this.key, sequence.sequence, sequence.epoch).metadata),
      },
      signal: client.signal,
      onMessage: () => {
        received++;
      },
      ...(deadlineMs !== undefined && { deadlineMs }),
    };
    this.#inputs.set(recordAddressOf(sent, this).id.toString('hex'), sent);
    const request = { ...account, ...sent.request };
    const result = makeCall(ledger.connection, ledger.definition, method, request, settings).then(
      (received) => this.#count(received),
    );
    return { sent, result, messagesReceived: () => received, cancel: () => client.abort() };
  }

  #count(result: CallResult): CallResult {
    const { reason = '', domain } = result.statusDetails?.errorInfo ?? {};
    const isRefusal = domain === ERROR_DOMAIN && !result.replayed;
    if (isRefusal) this.refusals[reason] = (this.refusals[reason] ?? 0) + 1;
    return result;
  }

  /** Looks up the record of a call in the store. */
  async find(sent: CallInput): Promise<FoundRecord | FoundProducer | undefined> {
    const { store } = this.servers.first;
    const address = recordAddressOf(sent, this);
    return sent.sequence ? store.findProducer(address) : store.find(address);
  }

  /** Returns the gate of an execution. The script decides whether the execution waits at the gate. */
  gate(execution: number): Barrier {
    this.#gates[execution] ??= new Barrier();
    return this.#gates[execution];
  }

  /** Releases the executions that a failed row has left at their gates. The next row needs their database sessions. */
  openGates(): void {
    for (const gate of this.#gates) gate?.open();
  }

  /** Runs the row's script as the handler of a call. */
  execute(account: string, database: Database, responder: Responder): unknown {
    if (account !== this.account) throw new Error('an execution of another row');
    const execution = ++this.executions;
    const write = async () => {
      if (this.engine.storeName !== 'memory') await writeEffect(database, account);
    };
    return this.#handler({ execution, gate: this.gate(execution), write, ...responder });
  }

  /** Asserts the retention of the row's key, counted from the last claim. */
  async assertRetained(ms: number): Promise<void> {
    const found = await this.find({});
    const claimedAt = (found && 'expiresAtMs' in found ? found.expiresAtMs : Number.NaN) - ms;
    // A test clock has not moved since the claim.
    const earliest = this.engine.storeName === 'postgres' ? this.#lastCallAt : this.now;
    this.t.true(claimedAt >= earliest && claimedAt <= this.now, `claimed at ${claimedAt}`);
  }

  /** Waits until the records have these states. In mode OBSERVE a record is written after the reply. */
  async statesBecome(expected: readonly State[]): Promise<void> {
    const wanted = [...expected].sort().join();
    const isReached = async () => (await this.states()).join() === wanted;
    await poll(`the records are ${wanted}`, isReached, 5_000).catch(async () => {
      this.t.deepEqual(await this.states(), [...expected].sort());
    });
  }

  /** Returns the states of all records that the row's calls use. */
  async states(): Promise<State[]> {
    const states = await Promise.all([...this.#inputs.values()].map((sent) => this.#stateOf(sent)));
    return states.filter((state) => state !== undefined).sort();
  }

  async #stateOf(sent: CallInput): Promise<State | undefined> {
    const { first } = this.servers;
    const found = this.engine.storeName === 'memory' || sent.sequence ? await this.find(sent) : undefined;
    if (found && 'outcome' in found) return found.outcome.replace('-', ' ') as State;
    if (found) return found.running ? 'in progress' : found.completed < 0n ? 'empty' : 'completed';
    if (this.engine.storeName === 'memory' || sent.sequence) return undefined;
    const text = 'SELECT state FROM replay_guard_records WHERE id = $1 AND expires_at > $2';
    const params = [recordKey(operationIdOf(sent, this)), this.now];
    const [row] = await first.database.query<{ state: bigint }>(text, params);
    return row && (['in progress', 'completed', 'erased'] as const)[Math.max(Number(row.state), 0)];
  }

  /** Counts the committed effects. Resolves to undefined if the store has no database. */
  async effects(): Promise<number | undefined> {
    if (this.engine.storeName === 'memory') return undefined;
    const { database } = this.servers.first;
    return (await database.query('SELECT amount FROM effects WHERE account = $1', [this.account])).length;
  }
}
