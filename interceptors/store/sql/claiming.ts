import type { Row } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, LockTimeoutError } from '../../database/errors.js';
import type { DatabaseHandle } from '../../database/handle.js';
import type { ClaimRequest, ClaimResult, NotClaimed } from '../store.js';
import { SqlClaim } from './claim.js';
import { SqlClaimer } from './sql-claimer.js';
import type { RecordStatements } from './statements.js';

/** What differs from keys to series where their records are claimed. */
export interface ClaimRules<R extends ClaimRequest> {
  readonly statements: RecordStatements;
  /** The record that a request is about. */
  recordId(request: R): Buffer;
  /** What a call is told by the row of a `find`; undefined where it may ask for its record. */
  answerTo(request: R, row: Row): NotClaimed | undefined;
  /** Whether an answer holds, whatever else a claim would find. */
  isFinal(answer: NotClaimed): boolean;
  grant(request: R, claim: SqlClaim): Promise<ClaimResult>;
}

/** Claims records of one kind, or tells what is in the way. */
export class SqlClaiming<R extends ClaimRequest> {
  readonly #engine: DatabaseEngine;
  readonly #rules: ClaimRules<R>;
  readonly #claimer: SqlClaimer;

  constructor(engine: DatabaseEngine, database: DatabaseHandle, rules: ClaimRules<R>) {
    this.#engine = engine;
    this.#rules = rules;
    this.#claimer = new SqlClaimer(engine, database, rules.statements);
  }

  async claim(request: R): Promise<ClaimResult> {
    const { answerTo, isFinal, recordId, grant } = this.#rules;
    const id = recordId(request);
    if (this.#engine.readsAreCheap) {
      const answer = answerTo(request, await this.find(id));
      if (answer && isFinal(answer)) return answer;
    }
    let seen: Row | undefined;
    try {
      const tried = await this.#claimer.try({ ...request, id });
      if (tried instanceof SqlClaim) return grant(request, tried);
      seen = tried;
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw asUnavailable(error);
      // Who has waited with one connection does not take another.
      if (!this.#engine.readsAreCheap) return hidden(request);
      const answer = answerTo(request, await this.find(id));
      const holds = answer && (answer.outcome === 'in-progress' || isFinal(answer));
      return holds ? answer : hidden(request);
    }
    // Read in a new statement: the record that stopped the claim may be newer than what the claim saw.
    const answer = (seen && answerTo(request, seen)) ?? answerTo(request, await this.find(id));
    return answer ?? hidden(request);
  }

  /** The row of a `find`. */
  async find(id: Buffer): Promise<Row> {
    const [row] = await this.#engine.run(this.#rules.statements.find(id));
    return row as Row;
  }
}

/** What stopped the claim cannot be seen: another transaction is executing, or has just ended. */
export function hidden({ leaseMs }: ClaimRequest): NotClaimed {
  return { outcome: 'in-progress', ageMs: 0, leaseLeftMs: leaseMs };
}

/** A claim that may have been committed is nobody's: it keeps the key until its lease has run out. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof CommitInDoubtError)) return error;
  return new DatabaseUnavailableError('it is not known whether the key was claimed', { cause: error });
}
