import { randomUUID } from 'node:crypto';
import { deriveDigest, derivingExecution } from './execution.js';

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
  return execution ? toUuid(deriveDigest(execution, 'id', name)) : randomUUID();
}

/**
 * Formats 16 bytes as a UUID of version 8. The application chooses all bits except version and variant (RFC 9562,
 * section 5.8).
 */
function toUuid(bytes: Buffer): string {
  const uuid = Buffer.from(bytes.subarray(0, 16));
  uuid.writeUInt8((uuid.readUInt8(6) & 0x0f) | 0x80, 6);
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8);
  return uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
