import { createHmac } from 'node:crypto';
import { lengthPrefixed, sha256 } from '../../store/record-id.js';
import type { ClaimRequest } from '../../store/store.js';
import type { Sequence } from './sequence.js';

/** The client's name for an operation: an idempotency key, or a position in the series of a producer. */
export type OperationName = { readonly key: string } | Sequence;

/** The secret that hashes keys at rest, and the secrets that were used before. */
export interface Peppers {
  /** Hashes the keys of all new records. Must not be empty. */
  readonly current: string | Buffer;
  /**
   * Earlier secrets. The guard still finds records that were created under these secrets. `null` means no pepper.
   * Default: none.
   */
  readonly previous?: readonly (string | Buffer | null)[];
}

/** The ids of the record of one operation in the store. */
export type RecordIds = Pick<ClaimRequest, 'id' | 'series'>;

/** All ids of one operation. */
export interface OperationIds {
  /** The ids of a new record. */
  readonly current: RecordIds;
  /** The ids under the previous peppers, in the order of `Peppers.previous`. */
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
  const { current, previous = [] } = isRotated(pepper) ? pepper : { current: pepper };
  if ([current, ...previous].some((secret) => secret?.length === 0))
    throw new TypeError('a pepper must not be empty');
  const digests = (...parts: readonly string[]): Digests => ({
    current: digest(current, parts),
    previous: previous.map((older) => digest(older ?? undefined, parts)),
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

function isRotated(pepper: string | Buffer | Peppers | undefined): pepper is Peppers {
  return typeof pepper === 'object' && !Buffer.isBuffer(pepper);
}

function digest(pepper: string | Buffer | undefined, parts: readonly string[]): Buffer {
  const input = lengthPrefixed(...parts);
  return pepper === undefined ? sha256(input) : createHmac('sha256', pepper).update(input).digest();
}
