import type { Metadata } from '@grpc/grpc-js';
import { FIRST_SENT_HEADER } from '../../protocol/headers.js';
import { parseTime } from '../../protocol/rfc3339.js';
import type { FirstSent } from '../../store/store.js';
import { invalidName } from './key.js';

/**
 * Reads the time of the operation's first attempt. Returns undefined if neither the metadata nor the key has a time.
 * @param datedKey a key whose UUIDv7 timestamp is also a time of the first attempt
 * @throws Refusal IDEMPOTENCY_KEY_INVALID if the header is not one RFC 3339 time
 */
export function readFirstSent(metadata: Metadata, datedKey: string | undefined): FirstSent | undefined {
  const times = [headerMs(metadata), datedKey && uuidMs(datedKey)].filter((ms) => typeof ms === 'number');
  if (times.length === 0) return undefined;
  return { earliestMs: Math.min(...times), latestMs: Math.max(...times) };
}

function headerMs(metadata: Metadata): number | undefined {
  const values = metadata.get(FIRST_SENT_HEADER);
  if (values.length === 0) return undefined;
  const ms = values.length === 1 ? parseTime(String(values[0])) : undefined;
  if (ms === undefined)
    throw invalidName(FIRST_SENT_HEADER, 'must be one RFC 3339 time: 2026-01-31T08:30:00Z');
  return ms;
}

const uuidv7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** Returns the timestamp of a UUIDv7. The first 48 bits are milliseconds since the epoch (RFC 9562, section 5.7). */
function uuidMs(key: string): number | undefined {
  const [, high, low] = uuidv7.exec(key) ?? [];
  return high && low ? Number.parseInt(high + low, 16) : undefined;
}
