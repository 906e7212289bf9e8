import type { Row } from '../../database/database.js';
import type { Attempt, OpenedSession, Session, Statement } from '../../database/engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError } from '../../database/errors.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { type MaybePromise, then, thenOrCatch } from '../../timing/maybe-promise.js';
import type { ClaimRequest, ClaimResult, NotClaimed, RecordAddress } from '../store.js';
import { type StoredAddress, storedAddress } from './address.js';
import { type ClaimParts, SqlClaim } from './claim.js';
import { findMark } from './marks.js';
import { ScopelessRecords } from './scopeless-records.js';
import type { RecordStatements } from './statements.js';

/** The differences between claims of keys and claims of positions in a series. */
export interface ClaimRules<R extends ClaimRequest> {
  readonly statements: RecordStatements;
  /** Returns the address of the record that the request claims. */
  addressOf(request: R): RecordAddress;
  /** Decides from the row of a `find`. Returns why the request may not claim, or undefined if it may. */
  decide(request: R, row: Row): NotClaimed | undefined;
  /** Whether a claim would have the same result, so that no claim needs to be tried. */
  isFinal(result: NotClaimed): boolean;
  /** Returns the result for a claim that the statement granted. */
  grant(request: R, claim: SqlClaim): MaybePromise<ClaimResult>;
}

/**
 * Claims the records of one table. A claim starts the transaction of the execution, or is a lease on its own. On an
 * engine with a separate reader, a final result is returned at once, without a promise.
 */
export class RecordClaimer<R extends ClaimRequest> {
  readonly #parts: ClaimParts;
  readonly #rules: ClaimRules<R>;
  readonly #scopeless: ScopelessRecords;

  constructor(parts: Omit<ClaimParts, 'statements'>, rules: ClaimRules<R>) {
    this.#parts = { ...parts, statements: rules.statements };
    this.#rules = rules;
    this.#scopeless = new ScopelessRecords(parts.engine, rules.statements.table);
  }

  /** Prepares the first claim. Called once, after the migration. */
  async open(): Promise<void> {
    await this.#scopeless.count();
  }

  /**
   * Proves that records can be claimed. Claims a record at an address that nobody uses, then commits its release or rolls
   * back. No other transaction sees the record.
   */
  async probe(request: R, end: 'commit' | 'roll back'): Promise<void> {
    const { engine, statements } = this.#parts;
    const address = storedAddress(this.#rules.addressOf(request));
    const { session, rows } = await engine.open(statements.claim(address, request));
    if (end === 'roll back') await session.rollback();
    else await session.commit(statements.release(address, rows[0]?.fence as bigint));
    if (!rows[0]) throw new DatabaseUnavailableError('the database stored no claim, and reported no error');
  }

  /** Claims a record, or returns the reason why the record was not claimed. */
  claim(request: R): MaybePromise<ClaimResult> {
    const address = storedAddress(this.#rules.addressOf(request));
    return then(this.#scopeless.restore(address), () => this.#claimOrFind(request, address));
  }

  #claimOrFind(request: R, address: StoredAddress): MaybePromise<ClaimResult> {
    const { engine } = this.#parts;
    const peeked = engine.peek?.(this.#rules.statements.find(address));
    const seen = peeked?.rows[0] as Row;
    if (peeked && (peeked.isCommitted || seen.state === null))
      return this.#claimAfter(request, address, seen);
    // On one connection a new key is claimed first, because most calls are new. A lease commits its claim, so a look-up
    // first spares the duplicates a commit.
    const isLease = request.atomicity === 'LEASE';
    if (!isLease && !engine.hasSeparateReader) return this.#claim(request, address);
    const row = this.#find(address);
    if (row instanceof Promise) return row.then((found) => this.#claimAfter(request, address, found));
    return this.#claimAfter(request, address, row);
  }

  /** Returns the row of a `find`. */
  find(address: RecordAddress): MaybePromise<Row> {
    const stored = storedAddress(address);
    const found = then(this.#scopeless.restore(stored), () => this.#find(stored));
    return then(found, (row) => (hasReply(row) ? this.#confirmed(row, row) : row));
  }

  #find(address: StoredAddress): MaybePromise<Row> {
    const rows = this.#parts.engine.run(this.#rules.statements.find(address));
    return rows instanceof Promise ? rows.then(([row]) => row as Row) : (rows[0] as Row);
  }

  /**
   * Returns what was found in a row. A reply acknowledges its commit. If commits wait for a synchronous standby, this
   * method returns the reply only after the standby has the commit. The commit itself may have stopped waiting early.
   */
  #confirmed<T>(row: Row, found: T): MaybePromise<T> {
    if (row.waits_for_standby !== 1n) return found;
    return then(this.#parts.engine.confirmOnStandby?.(), () => found);
  }

  #claimAfter(request: R, address: StoredAddress, found: Row): MaybePromise<ClaimResult> {
    const result = this.#rules.decide(request, found);
    if (!result || !this.#rules.isFinal(result)) return this.#claim(request, address);
    return result.outcome === 'completed' ? this.#confirmed(found, result) : result;
  }

  #claim(request: R, address: StoredAddress): MaybePromise<ClaimResult> {
    return then(this.#tryClaim(request, address), (claimed) =>
      claimed instanceof SqlClaim ? this.#rules.grant(request, claimed) : claimed,
    );
  }

  #tryClaim(request: R, address: StoredAddress): MaybePromise<SqlClaim | NotClaimed> {
    const { engine, statements } = this.#parts;
    const [claim, find] = [statements.claim(address, request), statements.find(address)];
    return thenOrCatch(
      () => engine.attempt(claim, find, request.atomicity === 'LEASE' && !request.unless ? 'alone' : 'open'),
      (attempt) => this.#afterAttempt(request, address, attempt),
      (error) => {
        throw asUnavailable(error);
      },
    );
  }

  #afterAttempt(request: R, address: StoredAddress, attempt: Attempt): MaybePromise<SqlClaim | NotClaimed> {
    const { decide, isFinal } = this.#rules;
    if ('rows' in attempt) {
      const row = attempt.rows[0] as Row;
      return request.unless && attempt.session
        ? this.#grantedUnless(request.unless, request, address, row, attempt.session)
        : this.#granted(request, address, row, attempt.session);
    }
    // The record may have changed between the two statements.
    const row = attempt.instead[0] as Row;
    const result = decide(request, row);
    if (result?.outcome === 'completed') return this.#confirmed(row, result);
    if (!result) return hiddenExecution(request);
    const isGap = result.outcome === 'gap';
    if (!attempt.isLocked) return isGap && !isFinal(result) ? this.#confirmGap(request, address) : result;
    // A locked record may be about to complete. The next sequence is then no gap.
    const isCertain = result.outcome === 'in-progress' || (isFinal(result) && !isGap);
    return isCertain ? result : hiddenExecution(request);
  }

  /**
   * Returns the claim of an open transaction, or rolls the claim back if a mark is set. The marks are read after the claim,
   * with a new snapshot, in the same transaction: a second connection could be missing when all connections hold claims.
   * The record of a series would stay after a release, so a lease is committed after the marks were read.
   */
  async #grantedUnless(
    marks: readonly string[],
    request: R,
    address: StoredAddress,
    row: Row,
    session: Session,
  ): Promise<SqlClaim | NotClaimed> {
    try {
      for (const name of marks) {
        if ((await session.query(findMark(name))).length === 0) continue;
        await session.rollback();
        return { outcome: 'superseded' };
      }
      if (request.atomicity === 'TRANSACTION') return this.#granted(request, address, row, session);
      await session.commit();
    } catch (error) {
      await session.rollback();
      throw asUnavailable(error);
    }
    return this.#granted(request, address, row, undefined);
  }

  /**
   * Confirms that the previous sequence is missing. A transaction that is not visible may be executing the previous
   * sequence. This transaction holds the lock of the record.
   */
  async #confirmGap(request: R, address: StoredAddress): Promise<NotClaimed> {
    const { engine, statements } = this.#parts;
    let held: Attempt;
    try {
      held = await engine.attempt(statements.hold(address), statements.find(address), 'alone');
    } catch (error) {
      throw asUnavailable(error);
    }
    if ('instead' in held && held.isLocked) return hiddenExecution(request);
    const latest = this.#rules.decide(request, await this.#find(address));
    return latest?.outcome === 'gap' ? latest : hiddenExecution(request);
  }

  /** Opens the transaction of the writes and locks the record until the commit, so that its fence cannot change. */
  #openLocked(lock: Statement): MaybePromise<Session> {
    const locked = ({ session, rows }: OpenedSession): Session => {
      if (rows[0]) return session;
      void session.rollback();
      throw new LeaseLostError('the key was taken over before the first write');
    };
    const opened = this.#parts.engine.open(lock);
    return opened instanceof Promise ? opened.then(locked) : locked(opened);
  }

  #granted(request: R, address: StoredAddress, row: Row, session: Session | undefined): SqlClaim {
    const lock = () => this.#openLocked(this.#parts.statements.lock(address, row.fence as bigint));
    const unit = new UnitOfWork(this.#parts.engine, session ?? lock);
    return new SqlClaim(request, address, row, unit, this.#parts, () => this.#tryClaim(request, address));
  }
}

/** Returns whether the row of a `find` has a reply, or a window with replies. */
function hasReply({ reply, replies }: Row): boolean {
  return Buffer.isBuffer(reply) || (Buffer.isBuffer(replies) && replies.length > 0);
}

/** The result for a claim that was stopped by a record which is not visible: another transaction holds the record. */
function hiddenExecution({ leaseMs }: ClaimRequest): NotClaimed {
  return { outcome: 'in-progress', ageMs: 0, leaseLeftMs: leaseMs };
}

/** A claim whose commit is in doubt is given to no execution. If it was committed, it keeps the key for one lease. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof CommitInDoubtError)) return error;
  return new DatabaseUnavailableError('the answer to the claim was lost', { cause: error });
}
