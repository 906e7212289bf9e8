import { decodeFile } from './descriptor-messages.js';
import type { MessageSchema } from './message-schema.js';
import { Schema } from './method-schemas.js';

interface DefinitionWithSchema {
  readonly path: string;
  readonly requestType: { readonly fileDescriptorProtos: readonly Uint8Array[] };
}

/** The request of a method whose definition was made by @grpc/proto-loader; else undefined. */
export function requestTypeOf(definition: unknown): MessageSchema | undefined {
  if (!hasSchema(definition)) return undefined;
  try {
    return schemaOf(definition.requestType.fileDescriptorProtos).request(definition.path);
  } catch {
    // Descriptors that are not whole: the request is read as what it is decoded to.
    return undefined;
  }
}

/** One list of files serves all methods that were loaded together. */
const schemas = new WeakMap<readonly Uint8Array[], Schema>();

function schemaOf(files: readonly Uint8Array[]): Schema {
  const schema = schemas.get(files) ?? new Schema(files.map(decodeFile));
  schemas.set(files, schema);
  return schema;
}

function hasSchema(definition: unknown): definition is DefinitionWithSchema {
  const type = (definition as Partial<DefinitionWithSchema>).requestType;
  return Array.isArray(type?.fileDescriptorProtos);
}
