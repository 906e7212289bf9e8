import { decodeFileSet } from '#library/replay-guard/descriptors/descriptor-messages.js';
import type { MessageSchema } from '#library/replay-guard/descriptors/message-schema.js';
import { MethodSchemas } from '#library/replay-guard/descriptors/method-schemas.js';
import { image } from '../../helpers/codegens/index.js';

const schemas = new MethodSchemas(decodeFileSet(image));

/** The schemas of the messages in test/protos/test/shapes/v1. */
export const everything = schemas.request('/test.shapes.v1.EverythingService/Do') as MessageSchema;
export const legacy = schemas.request('/test.shapes.v1.LegacyService/Do') as MessageSchema;
export const modern = schemas.request('/test.shapes.v1.ModernService/Do') as MessageSchema;

/** The number of the field `nested` of Everything, which has the type Everything. */
export const NESTED = 17;

/** Concatenates encoded fields. */
export const bytes = (...parts: (Uint8Array | number[])[]) =>
  Buffer.concat(parts.map((part) => Uint8Array.from(part)));

/** Encodes a tag in one or two bytes. */
export const tag = (number: number, wireType: number) => [
  (((number << 3) | wireType) & 127) | (number > 15 ? 128 : 0),
  ...(number > 15 ? [number >> 4] : []),
];
