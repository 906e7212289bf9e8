import { readFileSync } from 'node:fs';
import type { MethodDefinition, Server, ServiceDefinition } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import protobuf from 'protobufjs';
import descriptor, { type IFileDescriptorProto } from 'protobufjs/ext/descriptor/index.js';

/** The descriptors of the protos. The build writes this file next to the compiled code. */
const DESCRIPTORS = new URL('../descriptors.binpb', import.meta.url);

const HEALTH = 'grpc.health.v1.Health';

/** The details of refusals. No service imports this file, because details travel as `google.protobuf.Any`. */
const ERROR_DETAILS = 'google/rpc/error_details.proto';

interface File extends IFileDescriptorProto {
  readonly bytes: Buffer;
}

/**
 * Adds the reflection service for the hosted services, for health, for the details of refusals, and for the files that
 * these import.
 * @param services the full names of the hosted services
 */
export function addReflection(server: Server, services: readonly string[]): void {
  const listed = [...services, HEALTH];
  const files = filesOf(readFiles(), listed);
  const bytesOf = new Map(files.map(({ name, bytes }) => [String(name), bytes]));
  new ReflectionService(packageOf(files), { services: listed }).addToServer({
    addService: (definition, handlers) => server.addService(withOptions(definition, bytesOf), handlers),
  });
}

function readFiles(): File[] {
  const set = protobuf.Reader.create(readFileSync(DESCRIPTORS));
  const files: File[] = [];
  while (set.pos < set.len) {
    const tag = set.uint32();
    // A FileDescriptorSet has one field, `repeated FileDescriptorProto file = 1`.
    if (tag >>> 3 === 1) files.push(readFile(Buffer.from(set.bytes())));
    else set.skipType(tag & 7);
  }
  return files;
}

function readFile(bytes: Buffer): File {
  const {
    name,
    package: scope,
    dependency,
    service,
  } = descriptor.FileDescriptorProto.decode(bytes) as protobuf.Message & IFileDescriptorProto;
  return { bytes, name, package: scope, dependency, service } as File;
}

/** Returns the files that declare the services, the file of error details, and all files that they import. */
function filesOf(all: readonly File[], services: readonly string[]): File[] {
  const declares = ({ package: scope, service }: File) =>
    (service ?? []).some(({ name }) => services.includes(`${scope}.${name}`));
  const needed = new Set<File['name']>([ERROR_DETAILS, ...all.filter(declares).map(({ name }) => name)]);
  // The loop also visits the names that it adds, so it follows imports of imports.
  for (const importer of needed) {
    for (const name of all.find((file) => file.name === importer)?.dependency ?? []) needed.add(name);
  }
  return all.filter(({ name }) => needed.has(name));
}

/**
 * Makes the part of a package definition that reflection reads. The descriptors of proto-loader cannot be used here:
 * they lose map entries and well-known types.
 */
function packageOf(files: readonly File[]): PackageDefinition {
  const fileDescriptorProtos = files.map(({ bytes }) => bytes);
  return { files: { format: 'Protocol Buffer 3 EnumDescriptorProto', type: {}, fileDescriptorProtos } };
}

/** The part of a response of reflection that has files. */
interface FileResponse {
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Uint8Array[] };
}

/**
 * Returns the definition of a reflection service that sends the files as the build wrote them. The library encodes the
 * files again, and thereby loses custom options such as the policy of a method.
 */
function withOptions(definition: ServiceDefinition, bytesOf: ReadonlyMap<string, Buffer>): ServiceDefinition {
  const original = (bytes: Uint8Array) => bytesOf.get(readFile(Buffer.from(bytes)).name ?? '') ?? bytes;
  const methods = Object.entries(definition as Record<string, MethodDefinition<unknown, unknown>>);
  const changed = methods.map(([name, method]) => {
    const responseSerialize = (response: FileResponse) => {
      const files = response.fileDescriptorResponse?.fileDescriptorProto.map(original);
      return method.responseSerialize(
        files ? { ...response, fileDescriptorResponse: { fileDescriptorProto: files } } : response,
      );
    };
    return [name, { ...method, responseSerialize }];
  });
  return Object.fromEntries(changed);
}
