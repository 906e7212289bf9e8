import { status } from '@grpc/grpc-js';
import type { MethodPolicy } from './policy.js';

/** The extension of `google.protobuf.MethodOptions` in replayguard/v1/policy.proto. */
const OPTION = '(replayguard.v1.policy)';

/** The method options as @grpc/proto-loader gives them: custom ones untyped, as they were written. */
export interface MethodOptions {
  readonly idempotency_level?: string;
  readonly [OPTION]?: Record<string, unknown>;
}

/** The policy that a method declares in its `.proto`. @throws TypeError naming the method and the field */
export function declaredPolicy(method: string, options: MethodOptions): Partial<MethodPolicy> {
  const byLevel = options.idempotency_level === 'IDEMPOTENT' ? { key: 'OPTIONAL' as const } : {};
  const fields = Object.entries(options[OPTION] ?? {}).map(([name, value]) => {
    const read = readers[name];
    if (!read) throw new TypeError(`policy of ${method}: unknown field ${name}`);
    return read(value);
  });
  return Object.assign(byLevel, ...fields);
}

const withoutPrefix = (prefix: string, value: unknown) => String(value).replace(prefix, '');

/** What cannot be read becomes NaN, which the policy's own rules refuse. */
function milliseconds(duration: unknown): number {
  const { seconds = 0, nanos = 0 } = duration as { seconds?: unknown; nanos?: unknown };
  return Number(seconds) * 1_000 + Math.round(Number(nanos) / 1e6);
}

function codes(value: unknown): status[] {
  const names = Array.isArray(value) ? value : [value];
  return names.map((name) => status[withoutPrefix('REPLAYED_CODE_', name) as keyof typeof status]);
}

const readers: Record<string, (value: unknown) => object> = {
  mode: (value) => ({ mode: withoutPrefix('MODE_', value) }),
  key: (value) => ({ key: withoutPrefix('KEY_REQUIREMENT_', value) }),
  ttl: (value) => ({ ttlMs: milliseconds(value) }),
  atomicity: (value) => ({ atomicity: withoutPrefix('ATOMICITY_', value) }),
  lease: (value) => ({ leaseMs: milliseconds(value) }),
  wait: (value) => ({ waitMs: milliseconds(value) }),
  replayed_codes: (value) => ({ replayedCodes: codes(value) }),
  max_reply_bytes: (value) => ({ maxReplyBytes: Number(value) }),
};
