import { createHmac } from 'node:crypto';
import { findCause } from '../../database/error-kinds.js';
import { DatabaseUnavailableError } from '../../database/errors.js';
import type { StoreMarks } from '../../store/store.js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { Operation } from '../operation/operation.js';
import type { Peppers } from '../operation/operation-id.js';
import { type Secret, type Secrets, secretsOf } from '../operation/operation-id.js';
import { StoredForm } from '../operation/stored-form.js';

/** The mark of a store whose records are under the pepper in every part. */
const COVERS_EVERYTHING = 'pepper/covers-everything';
/**
 * The mark with the latest expiry of a record of the form `keys`, in milliseconds since the epoch. 0 without such
 * records.
 */
const EARLIER_UNTIL = 'pepper/former-until';
/**
 * How long servers look for a form after its last record has expired. A process may judge an expiry by a clock that is
 * ahead of the clock of the store, and a takeover may extend the retention of a record.
 */
const LOOKING_MARGIN_MS = 24 * 3_600_000;
/** How long a record of an earlier form is retained at least after its takeover. */
const TAKEOVER_RETENTION_MS = 3_600_000;

/** A form in which earlier records may be stored. */
interface EarlierForm {
  readonly form: StoredForm;
  /** When the last record of a key in this form expires, in milliseconds since the epoch. Absent if not known. */
  readonly untilMs?: number;
}

/** The forms that a guard uses now. */
export class FormsInUse {
  /** The form of new records. */
  readonly ofNewRecords: StoredForm;
  readonly #earlier: readonly EarlierForm[];
  readonly #marks: readonly string[];

  /** @param marks the marks that show that the form of new records has changed */
  constructor(ofNewRecords: StoredForm, earlier: readonly EarlierForm[] = [], marks: readonly string[] = []) {
    this.ofNewRecords = ofNewRecords;
    this.#earlier = earlier;
    this.#marks = marks;
  }

  /** Whether no record of the operation has an earlier form, and no other server can change the form of new records. */
  areFinalFor(operation: Operation): boolean {
    return this.#marks.length === 0 && !this.mayHaveEarlier(operation);
  }

  /** Whether a record of the operation may have an earlier form. */
  mayHaveEarlier(operation: Operation): boolean {
    return this.#earlier.length > 0 && this.#formsOf(operation).length > 0;
  }

  /** Returns the operation in the form of new records. */
  newRecord(operation: Operation): Operation {
    const stored = this.ofNewRecords.operation(operation);
    return this.#marks.length === 0 ? stored : { ...stored, unless: this.#marks };
  }

  /**
   * Returns the operation in each earlier form in which a record of it may exist. A takeover extends the retention of
   * a key by a short time only, because the servers stop looking for the form. Its claim has no first-sent time, because
   * only a retained record is taken over.
   */
  earlier(operation: Operation): Operation[] {
    return this.#formsOf(operation).map((form) => {
      const stored = form.operation(operation);
      if (operation.series) return stored;
      const { firstSent: _, ...retained } = stored;
      const { retentionMs, leaseMs } = stored;
      return { ...retained, retentionMs: Math.min(retentionMs, Math.max(leaseMs, TAKEOVER_RETENTION_MS)) };
    });
  }

  /** Servers look for a series without a limit of time, because each of its calls extends its retention. */
  #formsOf({ series }: Operation): StoredForm[] {
    const now = Date.now();
    return this.#earlier
      .filter(({ untilMs = Number.POSITIVE_INFINITY }) => series || now < untilMs + LOOKING_MARGIN_MS)
      .map(({ form }) => form);
  }

  /** Returns the stored scopes of a caller, without duplicates. */
  scopes(scope: string): string[] {
    return [
      ...new Set(
        [this.ofNewRecords, ...this.#earlier.map(({ form }) => form)].map((form) => form.scope(scope)),
      ),
    ];
  }
}

/**
 * Agrees with the other servers on a store about the form of new records. Two servers that stored an operation in
 * different forms would both execute it. The marks of the store hold the agreement: see docs/adr/0010.
 */
export class StoredForms {
  readonly #secrets: Secrets;
  readonly #marks: StoreMarks | undefined;
  /** The forms of each secret, the current one first: `keys`, then `everything`. */
  readonly #forms: readonly (readonly [StoredForm, StoredForm])[];
  #inUse: FormsInUse | undefined;
  #reading: Promise<FormsInUse> | undefined;

  /** @throws TypeError if the option `pepper` is invalid, or needs marks that the store does not have */
  constructor(pepper: string | Buffer | Peppers | undefined, marks: StoreMarks | undefined) {
    this.#secrets = secretsOf(pepper);
    this.#marks = marks;
    if (this.#secrets.hasNext && !marks)
      throw new TypeError('pepper: this store cannot follow a next pepper');
    this.#forms = [this.#secrets.current, ...this.#secrets.others].map((secret, position) => [
      new StoredForm(secret, position, 'keys'),
      new StoredForm(secret, position, 'everything'),
    ]);
    if (pepper === undefined) this.#inUse = new FormsInUse(this.#formsAt(0)[0]);
  }

  /** Returns the forms: at once after the first call. @throws DatabaseUnavailableError when the marks cannot be read */
  inUse(): MaybePromise<FormsInUse> {
    return this.#inUse ?? this.read();
  }

  /** Reads the forms from the marks of the store, and sets the marks for which this server is configured. */
  read(): Promise<FormsInUse> {
    this.#reading ??= this.#read()
      .then((inUse) => {
        this.#inUse = inUse;
        return inUse;
      })
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }

  /** Returns all stored scopes that a caller may have or have had under the known secrets. */
  allScopes(scope: string): string[] {
    return [...new Set(this.#forms.flat().map((form) => form.scope(scope)))];
  }

  async #read(): Promise<FormsInUse> {
    const untilMs = await this.#coverEverything();
    const inUse = await this.#position();
    // Records under the next pepper exist only after it has replaced the current one.
    const isRecorded = (position: number) =>
      position !== inUse && !(this.#secrets.hasNext && position === 1 && inUse === 0);
    const others = this.#forms.flatMap(([keys, everything], position): EarlierForm[] => {
      const [isOther, hasSecret] = [isRecorded(position), keys.secret !== undefined];
      if (untilMs === undefined) return isOther ? [{ form: keys }] : [];
      const covered = isOther && hasSecret ? [{ form: everything }] : [];
      // Without a pepper, records have always the form `keys`.
      if (!hasSecret) return isOther ? [{ form: keys }] : [];
      const isEarlier = untilMs > 0 && (isOther || position === inUse);
      return isEarlier ? [...covered, { form: keys, untilMs }] : covered;
    });
    const [keys, everything] = this.#formsAt(inUse);
    const marks = [
      ...(this.#marks && untilMs === undefined && keys.secret !== undefined ? [COVERS_EVERYTHING] : []),
      ...(this.#secrets.hasNext && inUse === 0 ? [replacedMark(numberOf(keys.secret))] : []),
    ];
    return new FormsInUse(untilMs === undefined ? keys : everything, others, marks);
  }

  /**
   * Resolves to the latest expiry of records in the form `keys`, or to undefined if new records have this form.
   * The first mark makes all servers change. The second one is set after all earlier claims have ended.
   */
  async #coverEverything(): Promise<number | undefined> {
    const { covers } = this.#secrets;
    const marks = this.#marks;
    if (!marks) return covers === 'everything' ? Number.MAX_SAFE_INTEGER : undefined;
    if ((await marks.find(COVERS_EVERYTHING)) === undefined) {
      const isDue = covers === 'everything' || (covers === undefined && (await marks.isEmpty()));
      if (!isDue) return undefined;
      const isSet = await permitted(marks.set(COVERS_EVERYTHING, 1));
      // Without the right to set a mark, a server that does not ask for the change works as before.
      if (isSet === undefined && covers === undefined) return undefined;
      if (isSet === undefined)
        throw new DatabaseUnavailableError('the database role may not set the mark of the pepper');
    }
    const known = await marks.find(EARLIER_UNTIL);
    if (known !== undefined) return known;
    const untilMs = await permitted(marks.refuseEarlierVersions());
    if (untilMs !== undefined) return marks.set(EARLIER_UNTIL, untilMs);
    process.emitWarning(
      'the database role may not alter the tables of the guard, so servers of earlier versions are not refused',
      { code: 'REPLAY_GUARD_EARLIER_VERSIONS' },
    );
    return Number.MAX_SAFE_INTEGER;
  }

  /**
   * Resolves to the position of the secret of new records: the last one in the chain of the secrets that replaced the
   * current one. If this is the current secret, the previous ones are marked as replaced by it, before any record is stored
   * under it.
   * @throws DatabaseUnavailableError if another secret has replaced a known one
   */
  async #position(): Promise<number> {
    const marks = this.#marks;
    if (!marks) return 0;
    const numbers = this.#forms.map(([form]) => numberOf(form.secret));
    const current = numbers[0] as number;
    const last = await lastReplacing(current, marks);
    if (last === current) {
      const previous = numbers.slice(this.#secrets.hasNext ? 2 : 1);
      for (const number of previous) await marks.set(replacedMark(number), current);
      // Another server may have replaced one of these secrets by another one, before or at the same time.
      for (const number of [...previous, current])
        if ((await lastReplacing(number, marks)) !== current) throw replacedByUnknown();
    }
    const position = numbers.indexOf(last);
    if (position < 0) throw replacedByUnknown();
    return position;
  }

  #formsAt(position: number): readonly [StoredForm, StoredForm] {
    return this.#forms[position] as readonly [StoredForm, StoredForm];
  }
}

/** The codes of a role that lacks a privilege, and of a server that may not migrate. */
const denied = new Set<unknown>(['42501', 'REPLAY_GUARD_SCHEMA']);

/** Resolves to the result, or to undefined if the server lacks the right to change the store. */
async function permitted<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (!findCause(error, (cause) => cause instanceof Error && 'code' in cause && denied.has(cause.code)))
      throw error;
    return undefined;
  }
}

/** Returns the number of a secret in the marks. It does not reveal the secret, and is the same on every server. */
function numberOf(secret: Secret): number {
  return createHmac('sha256', secret ?? '')
    .update('grpc-replay-guard number of a pepper')
    .digest()
    .readUIntBE(0, 6);
}

/**
 * The mark of a secret that is not used for new records any more. The mark has the number of the secret that replaced
 * it.
 */
function replacedMark(number: number): string {
  return `pepper/replaced/${number.toString(16)}`;
}

/**
 * Resolves to the number of the secret of new records: follows the marks from secret to secret.
 * @throws DatabaseUnavailableError if the marks lead back to a secret
 */
async function lastReplacing(number: number, marks: StoreMarks): Promise<number> {
  const seen = new Set<number>();
  for (let last = number; ; ) {
    if (seen.has(last)) throw replacedByUnknown();
    seen.add(last);
    const next = await marks.find(replacedMark(last));
    if (next === undefined) return last;
    last = next;
  }
}

function replacedByUnknown(): Error {
  return new DatabaseUnavailableError('the pepper of this server was replaced by one that it does not know');
}
