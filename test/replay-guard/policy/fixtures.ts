import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { freshFolder } from '../../helpers/databases/engines.js';

/** The path of the method `Do` in the services of this file. */
export const DO = '/p.v1.S/Do';

/** Creates a guard that closes after the test. */
export function openGuard(t: ExecutionContext, options: Partial<ReplayGuardOptions> = {}) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  return guard;
}

/** Returns a method option with a policy. */
export const policyOption = (text: string) => `option (replayguard.v1.policy) = {${text}};`;

/** Loads a service with one method `Do` and the given options in its .proto file. */
export async function serviceWith(
  t: ExecutionContext,
  options: string,
  {
    request = 'Request',
    imports = 'import "replayguard/v1/policy.proto";',
    fields = '',
  }: { request?: string; imports?: string; fields?: string } = {},
): Promise<ServiceDefinition> {
  const folder = await freshFolder(t);
  const proto = `syntax = "proto3"; package p.v1; ${imports}
    message Empty {} message Request { ${fields} }
    service S { rpc Do(${request}) returns (Empty) { ${options} } }`;
  await mkdir(join(folder, 'p'), { recursive: true });
  await writeFile(join(folder, 'p/s.proto'), proto);
  const own = fileURLToPath(new URL('../../../../proto/', import.meta.url));
  const loaded = loadSync('p/s.proto', { includeDirs: [folder, own], longs: String, enums: String });
  return loaded['p.v1.S'] as ServiceDefinition;
}

/** Returns the effective policy of a method after its service was protected. */
export function policyOf(
  t: ExecutionContext,
  definition: ServiceDefinition,
  options: Partial<ReplayGuardOptions>,
  method = DO,
) {
  const guard = openGuard(t, options);
  guard.protect(definition);
  return guard.methods().find((report) => report.path === method)?.policy;
}

/** A .proto file of a service with the method `Do`. */
export const proto = (options: string, fields = '') => protoOf({ Do: options }, fields);

/** A .proto file of a service with one method for each of the options. */
export const protoOf = (
  methods: Readonly<Record<string, string>>,
  fields = '',
) => `syntax = "proto3"; package p.v1;
  import "replayguard/v1/policy.proto";
  message Part { string id = 1; }
  message Request { string id = 1; repeated Part parts = 2; ${fields} }
  message Response {}
  service S {
    ${Object.entries(methods)
      .map(([name, options]) => `rpc ${name}(Request) returns (Response) { ${options} }`)
      .join('\n')}
  }`;

/** Asserts that protecting one method fails, and that the error names the method and the given texts. */
export function assertErrorNames(
  t: ExecutionContext,
  service: ServiceDefinition,
  descriptors: Buffer,
  method: string,
  ...named: readonly string[]
) {
  const { [method]: alone } = service;
  const start = () => openGuard(t, { descriptors }).protect({ [method]: alone } as ServiceDefinition);
  const error = t.throws(start, { instanceOf: TypeError }, method);
  for (const part of [`/p.v1.S/${method}`, ...named]) t.true(error?.message.includes(part), error?.message);
}
