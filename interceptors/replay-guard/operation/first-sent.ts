import type { Metadata } from '@grpc/grpc-js';
import { FIRST_SENT_HEADER } from '../../protocol/headers.js';
import { parseTime } from '../../protocol/rfc3339.js';
import type { FirstSent } from '../../store/store.js';
import { invalid } from './key.js';

/**
 * When the operation was first sent, where the call says so.
 * @param dated the key, where the timestamp of a UUIDv7 counts as well
 * @throws Refusal IDEMPOTENCY_KEY_INVALID: the header is no RFC 3339 time, or was sent more than once
 */
export function readSent(metadata: Metadata, dated: string | undefined): FirstSent | undefined {
  const times = [headerMs(metadata), dated && uuidMs(dated)].filter((ms) => typeof ms === 'number');
  if (times.length === 0) return undefined;
  return { earliestMs: Math.min(...times), latestMs: Math.max(...times) };
}

function headerMs(metadata: Metadata): number | undefined {
  const values = metadata.get(FIRST_SENT_HEADER);
  if (values.length === 0) return undefined;
  const ms = values.length === 1 ? parseTime(String(values[0])) : undefined;
  if (ms === undefined) throw invalid(FIRST_SENT_HEADER, 'must be one RFC 3339 time: 2026-01-31T08:30:00Z');
  return ms;
}

const uuidv7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** The first 48 bits of a UUIDv7 are milliseconds since the epoch (RFC 9562, section 5.7). */
function uuidMs(key: string): number | undefined {
  const [, high, low] = uuidv7.exec(key) ?? [];
  return high && low ? Number.parseInt(high + low, 16) : undefined;
}
