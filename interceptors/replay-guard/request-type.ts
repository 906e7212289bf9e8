import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';
import type { CanonicalType } from './canonical.js';

interface DefinitionWithSchema {
  readonly requestType: { readonly fileDescriptorProtos: readonly Uint8Array[] };
}

/** The request type of a method whose definition was made by @grpc/proto-loader; else undefined. */
export function requestTypeOf(path: string, definition: unknown): CanonicalType | undefined {
  if (!hasSchema(definition)) return undefined;
  const files = definition.requestType.fileDescriptorProtos.map((bytes) =>
    descriptor.FileDescriptorProto.decode(bytes),
  );
  try {
    const root = (protobuf.Root as unknown as FromDescriptor).fromDescriptor({ file: files });
    root.resolveAll();
    const [, service = '', method = ''] = path.split('/');
    const type = root.lookupService(service).methods[method]?.resolvedRequestType;
    return type ? { type, mapEntries: mapEntriesOf(root, files) } : undefined;
  } catch {
    // proto-loader names a map's entry type after its field; beside a message of that name it is ambiguous.
    return undefined;
  }
}

function hasSchema(definition: unknown): definition is DefinitionWithSchema {
  const type = (definition as Partial<DefinitionWithSchema>).requestType;
  return Array.isArray(type?.fileDescriptorProtos);
}

/** Read from the descriptors: on the built types the flag leaks to the parent. */
function mapEntriesOf(root: protobuf.Root, files: readonly protobuf.Message[]): ReadonlySet<protobuf.Type> {
  const found = new Set<protobuf.Type>();
  const visit = (types: readonly DescriptorProto[], prefix: string) => {
    for (const type of types) {
      const name = `${prefix}.${type.name}`;
      if (type.options?.mapEntry) found.add(root.lookupType(name));
      visit(type.nestedType ?? [], name);
    }
  };
  for (const file of files as unknown as FileDescriptorProto[]) {
    visit(file.messageType ?? [], file.package ? `.${file.package}` : '');
  }
  return found;
}

/** Added to `Root` by protobufjs/ext/descriptor. */
interface FromDescriptor {
  fromDescriptor(set: { file: readonly protobuf.Message[] }): protobuf.Root;
}

interface DescriptorProto {
  readonly name: string;
  readonly nestedType?: readonly DescriptorProto[];
  readonly options?: { readonly mapEntry?: boolean };
}

interface FileDescriptorProto {
  readonly package?: string;
  readonly messageType?: readonly DescriptorProto[];
}
