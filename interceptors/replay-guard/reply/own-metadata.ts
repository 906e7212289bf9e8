import { Metadata } from '@grpc/grpc-js';
import { ERROR_DOMAIN, isGuardMetadata } from '../../protocol/headers.js';
import { WireReader } from '../../wire/wire-reader.js';
import { WireWriter } from '../../wire/wire-writer.js';

const STATUS_DETAILS = 'grpc-status-details-bin';

/**
 * Returns a copy of a handler's metadata without what only the guard may say: its entries, and the refusals among the
 * status details. A handler may have copied them from the answer of another guarded server. They describe another
 * call, and a client would take them for statements about its own key.
 */
export function ownMetadata(sent: Metadata | undefined): Metadata {
  if (!sent) return new Metadata();
  const own = sent.clone();
  for (const name of Object.keys(own.getMap())) {
    if (isGuardMetadata(name)) own.remove(name);
    else if (name === STATUS_DETAILS) removeRefusals(own);
  }
  return own;
}

function removeRefusals(metadata: Metadata): void {
  const all = metadata.get(STATUS_DETAILS);
  const own = all.map((packed) => (Buffer.isBuffer(packed) ? ownDetails(packed) : packed));
  if (own.every((packed, index) => packed === all[index])) return;
  metadata.remove(STATUS_DETAILS);
  for (const packed of own) if (packed !== undefined) metadata.add(STATUS_DETAILS, packed);
}

/** The field `details` of a `google.rpc.Status`: the field number in the upper bits, the wire type in the lowest three. */
const DETAIL = 0x1a;

/**
 * Returns status details without the refusals of a guard. Returns the same bytes if they contain none, and undefined if
 * nothing else remains.
 *
 * The domain is searched in the bytes. A client whose decoder differs from the guard's therefore finds no refusal either.
 */
function ownDetails(packed: Buffer): Buffer | undefined {
  if (!packed.includes(ERROR_DOMAIN)) return packed;
  const own = withoutRefusals(packed);
  // Some clients search the bytes for the domain and a reason, instead of decoding them.
  return own?.includes(ERROR_DOMAIN) && own.includes('IDEMPOTENCY_') ? undefined : own;
}

function withoutRefusals(packed: Buffer): Buffer | undefined {
  const out = new WireWriter();
  let [kept, removed] = [0, 0];
  try {
    const reader = new WireReader(packed);
    while (!reader.isDone) {
      const start = reader.position;
      const tag = reader.tag();
      reader.skip(tag);
      const field = packed.subarray(start, reader.position);
      if (tag === DETAIL && field.includes(ERROR_DOMAIN) && field.includes('google.rpc.ErrorInfo')) removed++;
      else {
        out.copy(field, 0, field.length);
        if (tag === DETAIL) kept++;
      }
    }
  } catch {
    return undefined;
  }
  if (removed === 0) return packed;
  // The other fields repeat the status of the call.
  return kept > 0 ? out.finish() : undefined;
}
