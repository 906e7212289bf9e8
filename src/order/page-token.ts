import * as z from 'zod';
import { MAX_INT64 } from '../rpc/int64.js';

/** Where in a customer's orders, newest first, a page ends. */
export interface Position {
  readonly createdAt: bigint;
  readonly orderId: string;
}

/** Before the newest order. */
const start: Position = { createdAt: MAX_INT64, orderId: '' };

const content = z.tuple([z.string(), z.string().regex(/^\d{1,16}$/), z.string()]);

/** The token of the page after `position`; good for this customer's list only. */
export function pageToken(customerId: string, { createdAt, orderId }: Position): string {
  return Buffer.from(JSON.stringify([customerId, String(createdAt), orderId])).toString('base64url');
}

/** Where the page of this token begins; undefined if it is not a token of this customer's list. */
export function positionOf(token: string, customerId: string): Position | undefined {
  if (token === '') return start;
  const { success, data } = content.safeParse(decoded(token));
  if (!success || data[0] !== customerId) return undefined;
  return { createdAt: BigInt(data[1]), orderId: data[2] };
}

function decoded(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return undefined;
  }
}
