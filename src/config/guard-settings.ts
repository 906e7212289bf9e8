import {
  type CipherKeys,
  defaultPolicy,
  type GuardMode,
  type Peppers,
  type QuotaOptions,
} from 'grpc-replay-guard';
import { z } from 'zod';
import { duration, filePath, guardMode } from './settings.js';

/** With a shorter retention, a key could expire before its lease and execute twice at the same time. */
const MIN_RETENTION_MS = defaultPolicy.leaseMs;
const CIPHER_KEY_BYTES = 32;
const MIN_PEPPER_BYTES = 16;

/** Decodes a key in base64 or hexadecimal. Returns undefined for any other text. */
function keyBytes(text: string): Buffer | undefined {
  const encoding = /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64';
  const bytes = Buffer.from(text, encoding);
  const isWhole = encoding === 'hex' || /^[A-Za-z0-9+/_-]{43}=?$/.test(text);
  return isWhole && bytes.length === CIPHER_KEY_BYTES ? bytes : undefined;
}

const cipherKey = z.string().transform((text, context): Buffer => {
  const key = keyBytes(text);
  if (key) return key;
  context.addIssue(
    'must be 32 random bytes in base64 or hexadecimal; `openssl rand -base64 32` makes such a key',
  );
  return z.NEVER;
});

const pepper = z.string().refine((text) => Buffer.byteLength(text) >= MIN_PEPPER_BYTES, {
  error: `must be at least ${MIN_PEPPER_BYTES} bytes`,
});

const limit = z
  .string()
  .regex(/^[1-9]\d{0,9}$/, { error: 'must be a whole number of at least 1' })
  .transform(Number);

/** The settings of the replay guard. */
export const guardSettings = {
  REPLAY_GUARD_MODE: guardMode.prefault('enforce'),
  REPLAY_GUARD_MODE_FILE: filePath('a JSON file').optional(),
  REPLAY_GUARD_TTL: duration
    .refine((ms) => ms >= MIN_RETENTION_MS, {
      error: `must be at least the lease, ${MIN_RETENTION_MS / 1000}s`,
    })
    .optional(),
  REPLAY_GUARD_PEPPER: pepper.optional(),
  REPLAY_GUARD_PEPPER_PREVIOUS: z
    .union([z.literal('none').transform(() => null), pepper], {
      error: `must be \`none\` or the previous pepper, at least ${MIN_PEPPER_BYTES} bytes`,
    })
    .optional(),
  REPLAY_GUARD_PEPPER_NEXT: pepper.optional(),
  REPLAY_GUARD_PEPPER_COVERS: z
    .enum(['keys', 'everything'], { error: 'must be `keys` or `everything`' })
    .optional(),
  REPLAY_GUARD_CIPHER_KEY: cipherKey.optional(),
  REPLAY_GUARD_CIPHER_KEY_PREVIOUS: z.union([z.literal('none'), cipherKey]).optional(),
  REPLAY_GUARD_MAX_KEYS: limit.optional(),
  REPLAY_GUARD_MAX_IN_FLIGHT: limit.optional(),
  REPLAY_GUARD_MAX_WAITING: limit.optional(),
};

const schema = z.object(guardSettings);
type GuardSettings = z.output<typeof schema>;

/** The options of the guard that the settings decide. */
export interface GuardConfig {
  readonly mode: GuardMode;
  readonly retentionMs?: number;
  readonly pepper?: Peppers;
  readonly cipherKey?: CipherKeys;
  readonly quotas?: Pick<QuotaOptions, 'liveKeysPerScope' | 'inFlightPerScope' | 'waitingPerScope'>;
}

/** Makes the guard's options from the settings. */
export function toGuardConfig(s: GuardSettings): GuardConfig {
  const { REPLAY_GUARD_TTL: retentionMs, REPLAY_GUARD_CIPHER_KEY: key } = s;
  const { REPLAY_GUARD_CIPHER_KEY_PREVIOUS: previousKey } = s;
  const { REPLAY_GUARD_MAX_KEYS: liveKeysPerScope, REPLAY_GUARD_MAX_IN_FLIGHT: inFlightPerScope } = s;
  const waitingPerScope = s.REPLAY_GUARD_MAX_WAITING;
  const pepper = peppersOf(s);
  return {
    mode: s.REPLAY_GUARD_MODE,
    ...(retentionMs !== undefined && { retentionMs }),
    ...(pepper && { pepper }),
    ...(key && { cipherKey: cipherKeys(key, previousKey) }),
    ...((liveKeysPerScope ?? inFlightPerScope ?? waitingPerScope) !== undefined && {
      quotas: {
        ...(liveKeysPerScope !== undefined && { liveKeysPerScope }),
        ...(inFlightPerScope !== undefined && { inFlightPerScope }),
        ...(waitingPerScope !== undefined && { waitingPerScope }),
      },
    }),
  };
}

/** With only a next pepper, the server has no pepper until another server begins to use the next one. */
function peppersOf(s: GuardSettings): Peppers | undefined {
  const { REPLAY_GUARD_PEPPER: current = null, REPLAY_GUARD_PEPPER_PREVIOUS: previous } = s;
  const { REPLAY_GUARD_PEPPER_NEXT: next, REPLAY_GUARD_PEPPER_COVERS: covers } = s;
  if (current === null && next === undefined) return undefined;
  return {
    current,
    previous: previous === undefined ? [] : [previous],
    ...(next !== undefined && { next }),
    ...(covers !== undefined && { covers }),
  };
}

/** @param previous `none` means that earlier replies were stored without encryption */
function cipherKeys(current: Buffer, previous: Buffer | 'none' | undefined): CipherKeys {
  if (previous === 'none') return { current, readsPlaintext: true };
  return previous ? { current, previous: [previous] } : { current };
}
