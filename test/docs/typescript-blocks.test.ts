import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { output, snippets } from './snippets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const opened = `
import { openSqlite } from 'grpc-replay-guard/sqlite';`;

const service = `
import type { ServerInterceptor, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';
declare const authentication: ServerInterceptor;
declare const OrderService: ServiceDefinition;
declare function createHandlers(database: Database): UntypedServiceImplementation;`;

const queue = `
import type { Database } from 'grpc-replay-guard/database';
declare const database: Database;
declare const queue: { add(task: () => Promise<void>): Promise<void> };
declare const id: string;`;

const handle = `
import type { Database } from 'grpc-replay-guard/database';
declare const database: Database;`;

/** For each TypeScript block of a document, the declarations that the block assumes. */
const assumed: Readonly<Record<string, readonly string[]>> = {
  'README.md': [service],
  'docs/guide/first-steps.md': [service],
  'docs/guide/outbox-and-consumers.md': [
    `
import type { Database } from 'grpc-replay-guard/database';
declare const database: Database;
declare const url: string;
declare const secret: string;
declare const orderId: string;
declare function confirm(payload: unknown, key: string, signal: AbortSignal): Promise<void>;`,
    `
declare const connectionString: string;
declare const delivery: { readonly properties: { readonly messageId: string } };
declare const account: string;
declare const amount: number;`,
  ],
  'docs/guide/asynchronous-context.md': [queue, queue],
  'docs/guide/query-builders.md': [handle, handle, handle, handle],
  'docs/reference/policies.md': [
    `
import { readFileSync } from 'node:fs';
import { createReplayGuard, type ScopeSource } from 'grpc-replay-guard';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
declare const scope: ScopeSource;
declare const store: IdempotencyStore;`,
    '',
  ],
  'docs/reference/metrics.md': [
    `
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { ReplayGuard } from 'grpc-replay-guard';
import { createServerMetrics } from 'grpc-replay-guard/prometheus';
import type { Registry } from 'prom-client';
declare const register: Registry;
declare const guard: ReplayGuard;
declare const OrderService: ServiceDefinition;
declare const handlers: UntypedServiceImplementation;`,
  ],
  'docs/reference/api.md': [
    `
import pg from 'pg';
/** The types of pg do not know the option yet. */
declare module 'pg' {
  interface PoolConfig {
    pipeline?: boolean;
  }
}`,
    `${opened}
declare const id: string;`,
    `
import { setLogger } from '@grpc/grpc-js';
import { createGrpcLogger } from 'grpc-replay-guard/logging';
declare const log: Record<'error' | 'info' | 'debug', (fields: object, text: string) => void>;`,
    `
import { createReplayGuard, type ScopeSource } from 'grpc-replay-guard';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { pino } from 'pino';
import type { Registry } from 'prom-client';
declare const scope: ScopeSource;
declare const store: IdempotencyStore;
declare const register: Registry;`,
    '',
    `
declare class ConfigService {
  getOrThrow(name: string): string;
}
declare class Payments {}`,
  ],
};

/** The documents that import a package whose own declarations do not compile: Drizzle. */
const withFaultyPackages = new Set(['docs/guide/query-builders.md']);

test('every TypeScript block of the documents compiles', (t) => compile(t, false));

test('every TypeScript block of the guide to query builders compiles', (t) => compile(t, true));

async function compile(t: ExecutionContext, skipLibCheck: boolean): Promise<void> {
  t.timeout(120_000);
  // The folder is inside the repository, so the blocks can import the packages that are installed there.
  const folder = await mkdtemp(join(root, 'dist/blocks-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [document, declarations] of Object.entries(assumed)) {
    if (withFaultyPackages.has(document) !== skipLibCheck) continue;
    const blocks = snippets(document, 'ts');
    t.is(blocks.length, declarations.length, document);
    for (const [index, block] of blocks.entries()) {
      const name = `${document.replaceAll('/', '-')}-${index}.ts`;
      await writeFile(join(folder, name), `${declarations[index]}\n${block}\nexport {};\n`);
    }
  }
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2023',
    strict: true,
    types: ['node'],
    experimentalDecorators: true,
    noEmit: true,
    skipLibCheck,
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  await t.notThrowsAsync(output(process.execPath, [tsc, '-p', folder]));
}
