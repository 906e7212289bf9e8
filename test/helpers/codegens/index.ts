import { googleProtobuf } from './google-protobuf.js';
import type { Codegen } from './parcel.js';
import { protoLoader } from './proto-loader.js';
import { protobufEs } from './protobuf-es.js';
import { tsProtoLong, tsProtoPlain, tsProtoRich } from './ts-proto.js';

export * from './parcel.js';
export { protoFolders } from './proto-loader.js';
export { definitionOf, image, registry, typeNamed } from './protobuf-es.js';

/** All supported code generators. */
export const codegens: readonly Codegen[] = [
  protoLoader('bare', {}),
  protoLoader('with defaults', { longs: String, enums: String, defaults: true, oneofs: true }),
  protoLoader('in snake_case', { keepCase: true, longs: Number }),
  ...[tsProtoPlain, tsProtoRich, tsProtoLong, protobufEs, googleProtobuf],
];
