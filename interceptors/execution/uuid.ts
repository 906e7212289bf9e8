import { randomBytes } from 'node:crypto';

/**
 * Formats 16 bytes as a UUID of RFC 9562.
 * @param bytes the function replaces the bits of the version and of the variant
 * @param version the version of the UUID, from 1 to 8
 */
export function formatUuid(bytes: Buffer, version: number): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | (version << 4), 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The time and the counter of the last UUID, in which the next UUID must be greater. */
let last = { ms: 0, counter: 0 };

/**
 * Returns a new UUID of version 7 (RFC 9562, section 5.7). Its first 48 bits are the time in milliseconds. In one process
 * each UUID sorts after all earlier ones, also when the clock is set back: the next 30 bits are a counter, which starts
 * at a random number in each millisecond (section 6.2, method 1). The other bits are random.
 * @param now the time in milliseconds since the epoch
 */
export function uuidv7(now = Date.now()): string {
  const bytes = randomBytes(16);
  last = nextAfter(last, now, bytes.readUInt32BE(0));
  bytes.writeUIntBE(last.ms, 0, 6);
  // The version and the variant take the highest bits of these two numbers.
  bytes.writeUInt16BE(Math.floor(last.counter / 2 ** 18), 6);
  bytes.writeUInt32BE((last.counter % 2 ** 18) * 2 ** 12 + (bytes.readUInt32BE(8) % 2 ** 12), 8);
  return formatUuid(bytes, 7);
}

const COUNTER_END = 2 ** 30;

function nextAfter({ ms, counter }: typeof last, now: number, random: number): typeof last {
  // A start in the lower half leaves at least 2^29 UUIDs before the counter ends.
  const start = random % 2 ** 29;
  if (now > ms) return { ms: now, counter: start };
  return counter + 1 < COUNTER_END ? { ms, counter: counter + 1 } : { ms: ms + 1, counter: start };
}
