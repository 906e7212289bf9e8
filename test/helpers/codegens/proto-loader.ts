import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';
import { type Codegen, type Parcel, timestampOf } from './parcel.js';

/** The folders of the project's .proto files. */
export const protoFolders = ['proto/', 'test/protos/'].map((folder) =>
  fileURLToPath(new URL(`../../../../${folder}`, import.meta.url)),
);

/** @grpc/proto-loader with the given options. */
export function protoLoader(name: string, options: Options): Codegen {
  const loaded = loadSync('test/codegen/v1/parcel.proto', { includeDirs: protoFolders, ...options });
  const service = loaded['test.codegen.v1.ParcelService'] as ServiceDefinition;
  return {
    ...{ name: `proto-loader, ${name}`, isBare: false, service, response: () => ({}) },
    methods: service as unknown as Codegen['methods'],
    message: (parcel) => (options.keepCase ? snakeCased(messageOf(parcel)) : messageOf(parcel)),
  };
}

function messageOf({ payment, clientTimeMs, notes, boxes, ...same }: Parcel): Record<string, unknown> {
  return {
    ...same,
    ...payment,
    notes: Object.fromEntries(notes),
    boxes: Object.fromEntries(boxes),
    ...(clientTimeMs !== undefined && { clientTime: timestampOf(clientTimeMs) }),
  };
}

/** Renames properties to snake_case, except for the keys of the map `notes`. */
function snakeCased(value: unknown): object {
  if (Array.isArray(value)) return value.map((entry) => snakeCased(entry));
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value as object;
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) =>
      name === 'notes' ? [name, entry] : [snake(name), snakeCased(entry)],
    ),
  );
}
