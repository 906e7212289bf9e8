import type { DeliveryOutcome } from '../consumer/index.js';
import type { CallOutcome, ExceededQuota, StoreOperation } from '../replay-guard/index.js';

/**
 * The values of the attributes of counters, which start at 0 for each of them. A missing or unknown value does not
 * compile.
 */
const valuesOf = <Value extends string>(values: Readonly<Record<Value, true>>): readonly string[] =>
  Object.keys(values);

/** The values of `CallOutcome`. */
export const callOutcomes = valuesOf<CallOutcome>({
  executed: true,
  replayed: true,
  joined: true,
  in_progress: true,
  reused: true,
  expired: true,
  key_missing: true,
  key_invalid: true,
  bypassed: true,
  refused: true,
  released: true,
});

/** The values of `StoreOperation`. */
export const storeOperations = valuesOf<StoreOperation>({
  claim: true,
  find: true,
  renew: true,
  complete: true,
  fail: true,
  release: true,
  purge: true,
  count: true,
  erase: true,
});

/** The values of `ExceededQuota.quota`. */
export const quotas = valuesOf<ExceededQuota['quota']>({ in_flight: true, live_keys: true, waiting: true });

/** The values of `DeliveryOutcome`. */
export const deliveryOutcomes = valuesOf<DeliveryOutcome>({
  processed: true,
  duplicate: true,
  in_progress: true,
  failed: true,
});
