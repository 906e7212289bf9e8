import { randomUUID } from 'node:crypto';
import { derive, executions } from './execution.js';

/**
 * A UUID that is the same in every execution of the same guarded operation, so that an execution which
 * follows on a crashed one asks for the same things; a random UUID outside a guarded call.
 * @param name what the id is for; one name gives one id per operation, and in each of its steps another
 */
export function stableId(name: string): string {
  const execution = executions.getStore();
  return execution ? toUuid(derive(execution, 'id', name)) : randomUUID();
}

/** RFC 9562, version 8: the bits are ours to choose. */
function toUuid(bytes: Buffer): string {
  const uuid = Buffer.from(bytes.subarray(0, 16));
  uuid.writeUInt8((uuid.readUInt8(6) & 0x0f) | 0x80, 6);
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8);
  return uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
