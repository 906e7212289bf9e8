import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';

/** An entry of `AppendRequest.lines`. */
export interface Line {
  sku?: string;
  quantity?: number;
}

/** The request of Append, with a field of every kind that protobuf has. */
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

/** The response of Append. */
export interface AppendResponse {
  entryId?: string;
  balanceMinor?: string | number;
  labels?: Record<string, string>;
  /** Present only in the next version of the schema. */
  currency?: string;
}

/** A request with an account only. */
export interface Account {
  account?: string;
}

/** A request with an account and an amount. */
export interface AccountRequest extends Account {
  amountMinor?: string | number;
}

/** The ledger service of the library's tests, from test/protos/test/v1/ledger.proto. */
export interface LedgerDefinition extends ServiceDefinition {
  Append: MethodDefinition<AppendRequest, AppendResponse>;
  Transfer: MethodDefinition<
    { from?: string; to?: string; amountMinor?: string | number },
    { transferId?: string }
  >;
  Touch: MethodDefinition<Account, object>;
  Read: MethodDefinition<Account, { balanceMinor?: string | number }>;
  Close: MethodDefinition<Account, { closed?: boolean }>;
  Settle: MethodDefinition<AccountRequest, { entryId?: string }>;
  Sweep: MethodDefinition<AccountRequest, { entryId?: string }>;
}

/** Method options as `.proto` text, by method name. They replace the options in ledger.proto. */
export type DeclaredOptions = Readonly<Record<string, string>>;

const FILE = 'test/v1/ledger.proto';
const folder = (name: string) => fileURLToPath(new URL(`../../../../${name}/`, import.meta.url));

/** Loads the ledger service. The AppendResponse of version `next` has one more field. */
export function loadLedger(
  version: 'now' | 'next' = 'now',
  declared: DeclaredOptions = {},
): LedgerDefinition {
  const protos = folder(version === 'now' ? 'test/protos' : 'test/protos-next');
  if (Object.keys(declared).length === 0) return loadFrom(protos);
  const changed = mkdtempSync(join(tmpdir(), 'replay-guard-protos-'));
  try {
    mkdirSync(join(changed, FILE, '..'), { recursive: true });
    writeFileSync(join(changed, FILE), withOptions(readFileSync(join(protos, FILE), 'utf8'), declared));
    return loadFrom(changed);
  } finally {
    rmSync(changed, { recursive: true });
  }
}

function withOptions(proto: string, declared: DeclaredOptions): string {
  return Object.entries(declared).reduce((text, [method, options]) => {
    const signature = `rpc ${method}\\([^)]*\\) returns \\([^)]*\\)`;
    const replaced = text.replace(new RegExp(`(${signature})(;| {\n[^]*?\n {2}})`), `$1 {${options}}`);
    if (replaced === text) throw new Error(`${FILE} has no method ${method}`);
    return replaced;
  }, proto);
}

function loadFrom(protos: string): LedgerDefinition {
  const loaded = loadSync(FILE, {
    includeDirs: [protos, folder('proto')],
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return loaded['test.v1.LedgerService'] as unknown as LedgerDefinition;
}
