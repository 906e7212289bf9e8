import * as z from 'zod';
import { MAX_INT64 } from '../rpc/fields.js';

/** The last order of a page in a customer's list, which has the newest order first. */
export interface Position {
  readonly createdAt: bigint;
  readonly orderId: string;
}

/** The position before the newest order. */
const start: Position = { createdAt: MAX_INT64, orderId: '' };

const content = z.tuple([z.string(), z.string().regex(/^\d{1,16}$/), z.string()]);

/** Makes the token of the page after `position`. The token is valid for the list of this customer only. */
export function pageToken(customerId: string, { createdAt, orderId }: Position): string {
  return Buffer.from(JSON.stringify([customerId, String(createdAt), orderId])).toString('base64url');
}

/** Returns the position of a token; undefined if it is not a token for the list of this customer. */
export function positionOf(token: string, customerId: string): Position | undefined {
  if (token === '') return start;
  const { success, data } = content.safeParse(decode(token));
  if (!success || data[0] !== customerId) return undefined;
  return { createdAt: BigInt(data[1]), orderId: data[2] };
}

function decode(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return undefined;
  }
}
