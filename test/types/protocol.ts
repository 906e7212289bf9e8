import { status } from '@grpc/grpc-js';
import {
  type FailureDetails,
  isKey,
  KEY_HEADER,
  parseTime,
  readStatusDetails,
  type StatusDetail,
  statusDetails,
  toSequence,
} from 'grpc-replay-guard/protocol';
import { expectType } from './expect-type.js';

declare const value: unknown;

// Metadata names are literal types.
expectType<'idempotency-key'>()(KEY_HEADER);
// @ts-expect-error another name
'idempotency-producer' satisfies typeof KEY_HEADER;

// A value that passes is a text.
if (isKey(value)) expectType<string>()(value);
else expectType<unknown>()(value);

expectType<bigint | undefined>()(toSequence('1'));
// @ts-expect-error metadata carries texts
toSequence(1);
expectType<number | undefined>()(parseTime('2026-01-31T08:30:00Z'));
// @ts-expect-error a time is a text
parseTime(new Date());

// Status details are one of three kinds.
const details: readonly StatusDetail[] = [
  { errorInfo: { reason: 'KEY_REUSED', domain: 'shop' } },
  { badRequest: { fieldViolations: [{ field: 'sku', description: 'is empty' }] } },
  { retryInfo: { retryDelayMs: 100 } },
];
expectType<Buffer>()(statusDetails(status.ABORTED, 'a', details));
// @ts-expect-error an unknown kind
({ help: { links: [] } }) satisfies StatusDetail;
// @ts-expect-error the domain is missing
({ errorInfo: { reason: 'KEY_REUSED' } }) satisfies StatusDetail;
const read = readStatusDetails(new Uint8Array(1));
expectType<FailureDetails>()(read);
expectType<string | undefined>()(read.errorInfo?.reason);
expectType<number | undefined>()(read.retryDelayMs);
// @ts-expect-error details are readonly
read.retryDelayMs = 1;
