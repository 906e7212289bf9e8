import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';

export interface Line {
  sku?: string;
  quantity?: number;
}

export interface AppendRequest {
  account?: string;
  amountMinor?: string | number;
  labels?: Record<string, string>;
  details?: Record<number, { text?: string; counts?: Record<string, string | number> }>;
  card?: string;
  goods?: Line;
  note?: string;
  lines?: Line[];
  tags?: number[];
  data?: Buffer;
  kind?: 'KIND_UNSPECIFIED' | 'KIND_CREDIT' | 'KIND_DEBIT';
  rate?: number;
  booked?: { seconds?: string | number; nanos?: number };
}

export interface AppendResponse {
  entryId?: string;
  balanceMinor?: string | number;
  labels?: Record<string, string>;
  /** Only in the next version of the schema. */
  currency?: string;
}

export interface Account {
  account?: string;
}

/** The service that the library's own tests call, test/protos/test/v1/ledger.proto. */
export interface LedgerDefinition extends ServiceDefinition {
  Append: MethodDefinition<AppendRequest, AppendResponse>;
  Transfer: MethodDefinition<
    { from?: string; to?: string; amountMinor?: string | number },
    { transferId?: string }
  >;
  Touch: MethodDefinition<Account, object>;
  Read: MethodDefinition<Account, { balanceMinor?: string | number }>;
  Close: MethodDefinition<Account, { closed?: boolean }>;
}

/** Loads the service; `next` is its next version, whose AppendResponse has one more field. */
export function loadLedger(version: 'now' | 'next' = 'now'): LedgerDefinition {
  const folder = (name: string) => fileURLToPath(new URL(`../../../${name}/`, import.meta.url));
  const loaded = loadSync('test/v1/ledger.proto', {
    includeDirs: [folder(version === 'now' ? 'test/protos' : 'test/protos-next'), folder('proto')],
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return loaded['test.v1.LedgerService'] as unknown as LedgerDefinition;
}
