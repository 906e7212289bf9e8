import { createHmac } from 'node:crypto';
import { lengthPrefixed, sha256 } from '../../store/record-id.js';
import type { ClaimRequest } from '../../store/store.js';
import type { Sequence } from './sequence.js';

/** The client's name for an operation: an idempotency key, or a position in the series of a producer. */
export type OperationName = { readonly key: string } | Sequence;

/** The secret that hashes operations at rest, and the secrets that were used before or will be used. */
export interface Peppers {
  /** Hashes all new records. Must not be empty. `null` means no pepper, which needs a `next` pepper. */
  readonly current: string | Buffer | null;
  /**
   * Earlier secrets. The guard still finds records that were created under these secrets. `null` means no pepper.
   * Default: none.
   */
  readonly previous?: readonly (string | Buffer | null)[];
  /**
   * The secret that will replace `current`. This guard uses the secret as soon as another guard on the store has the same
   * secret as `current`. So servers can be changed one after another. Until then, a new key costs one more small statement.
   * Default: none.
   */
  readonly next?: string | Buffer;
  /**
   * What the pepper covers in new records: keys only (`keys`), as in versions up to 0.2, or also the caller and the digest
   * of the request (`everything`). A store without records begins with `everything`. A store with records of an earlier
   * version stays with `keys` until one server states `everything`. That server decides for all servers on the store, and
   * the decision cannot be undone. Default: the form that the store already has.
   */
  readonly covers?: 'keys' | 'everything';
}

/** The ids of the record of one operation in the store. */
export type RecordIds = Pick<ClaimRequest, 'id' | 'series'>;

/** All ids of one operation. */
export interface OperationIds {
  /** The ids of a new record. */
  readonly current: RecordIds;
  /** The ids under the other secrets, in the order of `Secrets.others`. */
  readonly previous: readonly RecordIds[];
  /** The id of the preceding sequence of the same producer and epoch. */
  readonly precededBy?: Buffer;
}

/** Computes the ids of an operation. */
export type OperationIdentifier = (scope: string, method: string, name: OperationName) => OperationIds;

/**
 * Returns the function that computes the ids of operations. An id is SHA-256 over the length-prefixed parts of
 * the operation's name. With a pepper, the id is HMAC-SHA-256. A reader of the database then cannot test guesses of
 * keys.
 * @throws TypeError if a pepper is empty
 */
export function operationIdentifier(pepper?: string | Buffer | Peppers): OperationIdentifier {
  const { current, others } = secretsOf(pepper);
  const digests = (...parts: readonly string[]): Digests => ({
    current: digest(current, parts),
    previous: others.map((other) => digest(other, parts)),
  });
  return (scope, method, name) =>
    'key' in name ? keyIds(digests(scope, method, name.key)) : sequenceIds(digests, scope, method, name);
}

/** The digests of one list of parts, under the current pepper and each previous pepper. */
interface Digests {
  readonly current: Buffer;
  readonly previous: readonly Buffer[];
}

function keyIds({ current, previous }: Digests): OperationIds {
  return { current: { id: current }, previous: previous.map((id) => ({ id })) };
}

/**
 * Returns the ids of a sequence. Its list of parts is longer than the list of a key, so the ids never collide.
 */
function sequenceIds(
  digests: (...parts: readonly string[]) => Digests,
  scope: string,
  method: string,
  { producer, epoch, sequence }: Sequence,
): OperationIds {
  const ofPosition = (position: bigint) =>
    digests('sequence', scope, method, producer, epoch.toString(), position.toString());
  const own = ofPosition(sequence);
  const series = digests('series', scope, method, producer);
  const idsAt = (id: Buffer, seriesId: Buffer) => ({ id, series: { id: seriesId, epoch, sequence } });
  return {
    current: idsAt(own.current, series.current),
    previous: own.previous.map((id, index) => idsAt(id, series.previous[index] as Buffer)),
    ...(sequence > 0n && { precededBy: ofPosition(sequence - 1n).current }),
  };
}

/** A pepper. Undefined means that operations are hashed without a secret. */
export type Secret = string | Buffer | undefined;

/** The secrets of a guard. */
export interface Secrets {
  readonly current: Secret;
  /** The next secret, if there is one, then the previous secrets. */
  readonly others: readonly Secret[];
  readonly hasNext: boolean;
  readonly covers: Peppers['covers'];
}

/** Reads the option `pepper`. @throws TypeError if a pepper is empty, or a pepper is missing or named twice */
export function secretsOf(pepper?: string | Buffer | Peppers): Secrets {
  const {
    current,
    previous = [],
    next,
    covers,
  }: Peppers = isRotated(pepper) ? pepper : { current: pepper ?? null };
  const others = [...(next === undefined ? [] : [next]), ...previous];
  const all = [current, ...others];
  if (all.some((secret) => secret?.length === 0)) throw new TypeError('a pepper must not be empty');
  if (isRotated(pepper) && current === null && next === undefined)
    throw new TypeError('pepper: current must be a secret, unless there is a next pepper');
  if (covers !== undefined && covers !== 'keys' && covers !== 'everything')
    throw new TypeError('pepper: covers must be `keys` or `everything`');
  if (new Set(all.map((secret) => secret && Buffer.from(secret).toString('hex'))).size < all.length)
    throw new TypeError('pepper: current, next and previous must be different secrets');
  return {
    current: current ?? undefined,
    others: others.map((secret) => secret ?? undefined),
    hasNext: next !== undefined,
    covers,
  };
}

function isRotated(pepper: string | Buffer | Peppers | undefined): pepper is Peppers {
  return typeof pepper === 'object' && !Buffer.isBuffer(pepper);
}

function digest(pepper: Secret, parts: readonly string[]): Buffer {
  const input = lengthPrefixed(...parts);
  return pepper === undefined ? sha256(input) : createHmac('sha256', pepper).update(input).digest();
}
