import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { freshFolder } from '../databases/engines.js';
import type { Cleanup } from '../databases/postgres.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const run = promisify(execFile);

/** The products of a .proto file with a service `p.v1.S`. */
export interface ProtoFile {
  /** The definition that @grpc/proto-loader loads, with options and schema. */
  readonly loaded: ServiceDefinition;
  /** The definition without options and schema, as static code generators write it. */
  readonly bare: ServiceDefinition;
  /** Runs `buf build` and resolves to its output. */
  build(...flags: string[]): Promise<Buffer>;
}

/**
 * Writes a .proto file `p/v1/s.proto` beside a copy of policy.proto.
 * @param replaced texts in the copy of policy.proto, each with its replacement
 */
export async function protoFile(
  t: Cleanup,
  content: string,
  replaced: readonly (readonly [string, string])[] = [],
): Promise<ProtoFile> {
  const folder = await freshFolder(t);
  await write(folder, 'p/v1/s.proto', content);
  const policy = join(folder, 'replayguard/v1/policy.proto');
  await mkdir(dirname(policy), { recursive: true });
  await cp(join(root, 'proto/replayguard/v1/policy.proto'), policy);
  for (const [text, replacement] of replaced) await replace(policy, text, replacement);
  const loaded = loadSync('p/v1/s.proto', { includeDirs: [folder] })['p.v1.S'] as ServiceDefinition;
  return { loaded, bare: bare(loaded), build: (...flags) => build(folder, flags) };
}

/** Returns the definition without the options and the schema, which only proto-loader adds. */
export function bare(definition: ServiceDefinition): ServiceDefinition {
  const entries = Object.entries(definition).map(([name, method]) => {
    const { options, requestType, responseType, ...rest } = method as typeof method & Record<string, unknown>;
    return [name, rest];
  });
  return Object.fromEntries(entries);
}

async function build(folder: string, flags: readonly string[]): Promise<Buffer> {
  const output = join(folder, 'image.binpb');
  await run(join(root, 'node_modules/.bin/buf'), ['build', folder, '-o', output, ...flags]);
  return readFile(output);
}

async function write(folder: string, name: string, content: string): Promise<void> {
  await mkdir(join(folder, dirname(name)), { recursive: true });
  await writeFile(join(folder, name), content);
}

async function replace(file: string, text: string, replacement: string): Promise<void> {
  const before = await readFile(file, 'utf8');
  if (!before.includes(text)) throw new Error(`${file} does not contain ${text}`);
  await writeFile(file, before.replace(text, replacement));
}
