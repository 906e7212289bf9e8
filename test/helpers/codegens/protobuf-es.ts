import { readFileSync } from 'node:fs';
import {
  create,
  createFileRegistry,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { type Codegen, type Parcel, timestampOf } from './parcel.js';

/** The buf image of all files in proto/ and test/protos/, custom options included. */
export const image = readFileSync(new URL('../../../test-image.binpb', import.meta.url));

/** All types and services in the image. */
export const registry: FileRegistry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));

/** protobuf-es v2. The descriptors are created at run time, as generated code does. */
export const protobufEs: Codegen = {
  ...{ name: 'protobuf-es', isBare: true, service: definitionOf('test.codegen.v1.ParcelService') },
  get methods() {
    return this.service as unknown as Codegen['methods'];
  },
  message: (parcel) => create(typeNamed('test.codegen.v1.SendRequest'), initOf(parcel)),
  response: () => create(typeNamed('test.codegen.v1.SendResponse')),
};

/** Returns a message type of the image. */
export function typeNamed(name: string) {
  const type = registry.getMessage(name);
  if (!type) throw new Error(`${name} is not in the image`);
  return type;
}

/** Returns the grpc-js definition of a service in the image. */
export function definitionOf(service: string): ServiceDefinition {
  const methods = registry.getService(service)?.methods ?? [];
  return Object.fromEntries(
    methods.map((method) => [method.name, methodOf(method, `/${service}/${method.name}`)]),
  );
}

function methodOf({ input, output }: DescMethod, path: string) {
  return {
    ...{ path, requestStream: false, responseStream: false },
    requestSerialize: (message: MessageShape<typeof input>) => Buffer.from(toBinary(input, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: MessageShape<typeof output>) => Buffer.from(toBinary(output, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}

function initOf({ weightGrams, items, notes, boxes, payment, clientTimeMs, ...same }: Parcel) {
  const item = (from: Parcel['items'][number]) => ({ ...from, seenAt: BigInt(from.seenAt) });
  const [[name, value] = []] = Object.entries(payment ?? {});
  const time = timestampOf(clientTimeMs ?? 0);
  return {
    ...{ ...same, weightGrams: BigInt(weightGrams), items: items.map(item) },
    notes: Object.fromEntries(notes),
    boxes: Object.fromEntries(boxes.map(([key, box]) => [key, item(box)])),
    ...(name && { payment: { case: name, value: name === 'goods' ? item(value) : value } }),
    ...(clientTimeMs !== undefined && { clientTime: { ...time, seconds: BigInt(time.seconds) } }),
  };
}
