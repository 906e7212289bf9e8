import type { RawEntries } from '../inputs/raw-headers.js';
import { referenceTime } from './reference-time.js';

/** What the contract says about a call: it may execute, or it is refused with one of the reasons. */
export type Expected = { readonly mayExecute: true } | { readonly reasons: readonly string[] };

const KEY = /^[A-Za-z0-9._~:/+=@-]{1,255}$/;
const QUOTED_KEY = /^"[A-Za-z0-9._~:/+=@-]{1,255}"$/;
const NUMBER = /^(0|[1-9][0-9]{0,18})$/;
const MAX = 2n ** 63n - 1n;
const PREFIX = 'idempotency-';

/** Whether HTTP/2 shows an entry to the server (RFC 9113, section 8.2.1). */
const isCarried = (value: string) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that HTTP/2 forbids.
  !/[\0-\x08\n-\x1f\x7f]/.test(value) && !/^[ \t]|[ \t]$/.test(value);

/**
 * Decides a call by the text of the contract.
 * @param isKeyOptional whether the method runs calls without a key
 * @param scopeName the trusted entry that names the caller
 */
export function expectedOf(entries: RawEntries, isKeyOptional: boolean, scopeName: string): Expected {
  const all = (name: string) =>
    entries.filter(([each, value]) => each === name && isCarried(value)).map(([, value]) => value);
  const [key, producer, sequence, epoch] = ['key', 'producer', 'sequence', 'epoch'].map((name) =>
    all(PREFIX + name),
  ) as [string[], string[], string[], string[]];
  const sent = all(`${PREFIX}first-sent`);
  const isOne = (values: string[], form: RegExp) => values.length === 1 && form.test(values[0] as string);
  const isKey = (values: string[]) => isOne(values, KEY) || isOne(values, QUOTED_KEY);
  const isNumber = (values: string[]) =>
    values.length === 1 && NUMBER.test(values[0] as string) && BigInt(values[0] as string) <= MAX;
  const isNumbered = producer.length + sequence.length + epoch.length > 0;
  const isInvalid =
    (key.length > 0 && (!isKey(key) || isNumbered)) ||
    (isNumbered && !(isOne(producer, KEY) && isNumber(sequence) && (epoch.length === 0 || isNumber(epoch))));
  const isNamed = key.length > 0 || isNumbered;
  if (!isNamed) return isKeyOptional ? { mayExecute: true } : { reasons: ['KEY_MISSING', ...scopeReason()] };
  const isUndated = sent.length > 0 && (sent.length > 1 || referenceTime(sent[0] as string) === undefined);
  const reasons = [...(isInvalid || isUndated ? ['KEY_INVALID'] : []), ...scopeReason()];
  return reasons.length > 0 ? { reasons } : { mayExecute: true };

  /** Either refusal is right if both apply. */
  function scopeReason(): string[] {
    const [scope = '', ...others] = all(scopeName);
    const isKnown = others.length === 0 && /^[ -+\--~]+$/.test(scope);
    return isKnown ? [] : ['SCOPE_MISSING'];
  }
}
