import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

export interface AccountRequest extends Account {
  amountMinor?: string | number;
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
  Settle: MethodDefinition<AccountRequest, { entryId?: string }>;
  Sweep: MethodDefinition<AccountRequest, { entryId?: string }>;
}

/** Options by the names of methods, as a `.proto` spells them, instead of the method's own. */
export type DeclaredOptions = Readonly<Record<string, string>>;

const FILE = 'test/v1/ledger.proto';
const folder = (name: string) => fileURLToPath(new URL(`../../../../${name}/`, import.meta.url));

/** Loads the service; `next` is its next version, whose AppendResponse has one more field. */
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
