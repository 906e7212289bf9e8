import { randomUUID } from 'node:crypto';
import { deriveDigest, derivingExecution } from './execution.js';
import { formatUuid } from './uuid.js';

/**
 * Returns a UUID (RFC 9562, version 8) that is equal in every execution of one guarded operation. A repeated execution
 * after a crash therefore uses the same ids. Outside a guarded call the UUID is random.
 * @param name the purpose of the id; the id differs between names, operations and steps
 * @throws TypeError inside a guarded call when the name has an unpaired surrogate
 * @throws Error inside a guarded call of another copy of this library whose version cannot share its context with this
 *   version
 */
export function stableId(name: string): string {
  const execution = derivingExecution();
  if (!execution) return randomUUID();
  // The application chooses all bits of version 8 except version and variant (RFC 9562, section 5.8).
  return formatUuid(Buffer.from(deriveDigest(execution, 'id', name).subarray(0, 16)), 8);
}
