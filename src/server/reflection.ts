import { readFileSync } from 'node:fs';
import type { Server } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import protobuf from 'protobufjs';
import descriptor, { type IFileDescriptorProto } from 'protobufjs/ext/descriptor/index.js';

/** The compiled form of proto/, which the build puts beside the compiled code. */
const DESCRIPTORS = new URL('../descriptors.binpb', import.meta.url);

interface File extends IFileDescriptorProto {
  readonly bytes: Buffer;
}

/**
 * Lets callers ask what the server serves.
 * @param services full names of the hosted services; what they do not need is not told
 */
export function addReflection(server: Server, services: readonly string[]): void {
  const files = filesOf(readFiles(), services);
  new ReflectionService(packageOf(files), { services: [...services] }).addToServer(server);
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

/** The files that declare the services, and all that they import. */
function filesOf(all: readonly File[], services: readonly string[]): File[] {
  const declares = ({ package: scope, service }: File) =>
    (service ?? []).some(({ name }) => services.includes(`${scope}.${name}`));
  const wanted = new Set(all.filter(declares).map(({ name }) => name));
  // A set grows while it is walked, so this follows the imports of imports.
  for (const importer of wanted) {
    for (const name of all.find((file) => file.name === importer)?.dependency ?? []) wanted.add(name);
  }
  return all.filter(({ name }) => wanted.has(name));
}

/**
 * The one part of a package definition that reflection reads. One made by proto-loader will not do: its
 * descriptors lose map entries and the well-known types.
 */
function packageOf(files: readonly File[]): PackageDefinition {
  const fileDescriptorProtos = files.map(({ bytes }) => bytes);
  return { files: { format: 'Protocol Buffer 3 EnumDescriptorProto', type: {}, fileDescriptorProtos } };
}
