import type { ClaimRequest } from '../../store/store.js';
import type { RecordIdentifier } from './record-id.js';
import type { Sequence } from './sequence.js';

/** What a call names its operation by: a key, or a place among the calls of a producer. */
export type OperationName = { readonly key: string } | Sequence;

/** What the store knows an operation by. */
export type RecordAddress = Pick<ClaimRequest, 'id' | 'series'>;

export interface RecordAddresses {
  readonly current: RecordAddress;
  /** What its record may have been stored by before the pepper was changed. */
  readonly previous: readonly RecordAddress[];
  /** The id of the operation with the sequence before. */
  readonly precededBy?: Buffer;
}

/** The ids of an operation. Those of sequences have other parts than those of keys, so they never meet. */
export function recordAddressesOf(
  identify: RecordIdentifier,
  scope: string,
  method: string,
  named: OperationName,
): RecordAddresses {
  if ('key' in named) {
    const { current, previous } = identify(scope, method, named.key);
    return { current: { id: current }, previous: previous.map((id) => ({ id })) };
  }
  const { producer, epoch, sequence } = named;
  const place = (at: bigint) =>
    identify('sequence', scope, method, producer, epoch.toString(), at.toString());
  const [own, series] = [place(sequence), identify('series', scope, method, producer)];
  const identity = (id: Buffer, seriesId: Buffer) => ({ id, series: { id: seriesId, epoch, sequence } });
  return {
    current: identity(own.current, series.current),
    previous: own.previous.map((id, at) => identity(id, series.previous[at] as Buffer)),
    ...(sequence > 0n && { precededBy: place(sequence - 1n).current }),
  };
}
