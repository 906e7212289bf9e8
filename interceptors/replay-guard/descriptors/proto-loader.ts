import { decodeFile } from './descriptor-messages.js';
import type { MessageSchema } from './message-schema.js';
import { MethodSchemas } from './method-schemas.js';

interface DefinitionWithSchema {
  readonly path: string;
  readonly requestType: { readonly fileDescriptorProtos: readonly Uint8Array[] };
}

/**
 * Returns the request schema in a method definition of @grpc/proto-loader. Returns undefined for other
 * definitions.
 */
export function requestSchemaOf(definition: unknown): MessageSchema | undefined {
  if (!hasSchema(definition)) return undefined;
  try {
    return schemasOf(definition.requestType.fileDescriptorProtos).request(definition.path);
  } catch {
    // The descriptors are incomplete. The guard then reads the decoded request without a schema.
    return undefined;
  }
}

/** The schemas of each list of files. All methods that were loaded together share one list. */
const cache = new WeakMap<readonly Uint8Array[], MethodSchemas>();

function schemasOf(files: readonly Uint8Array[]): MethodSchemas {
  const schemas = cache.get(files) ?? new MethodSchemas(files.map(decodeFile));
  cache.set(files, schemas);
  return schemas;
}

function hasSchema(definition: unknown): definition is DefinitionWithSchema {
  const type = (definition as Partial<DefinitionWithSchema>).requestType;
  return Array.isArray(type?.fileDescriptorProtos);
}
