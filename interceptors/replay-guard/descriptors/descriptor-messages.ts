import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

/** The field number of the option `(replayguard.v1.policy)` in `google.protobuf.MethodOptions`. */
const POLICY_OPTION = 50921;

/**
 * A private copy of the types of google/protobuf/descriptor.proto. The added option is therefore not visible to other
 * users of protobufjs.
 */
const types = protobuf.Root.fromJSON(descriptor.FileDescriptorSet.root.toJSON());
types
  .lookupType('google.protobuf.MethodOptions')
  .add(new protobuf.Field('policy', POLICY_OPTION, 'bytes', 'repeated'));
const fileSet = types.lookupType('google.protobuf.FileDescriptorSet');
const file = types.lookupType('google.protobuf.FileDescriptorProto');

/**
 * Decodes a FileDescriptorSet. A buf image is a FileDescriptorSet with more fields.
 * @throws Error if the bytes are malformed
 */
export function decodeFileSet(bytes: Uint8Array): readonly FileDescriptor[] {
  return (fileSet.decode(bytes) as unknown as { file: readonly FileDescriptor[] }).file;
}

/**
 * Decodes a FileDescriptorProto.
 * @throws Error if the bytes are malformed
 */
export function decodeFile(bytes: Uint8Array): FileDescriptor {
  return file.decode(bytes) as unknown as FileDescriptor;
}

/** A decoded FileDescriptorProto. An absent list is empty, and another absent field has its default value. */
export interface FileDescriptor {
  readonly name: string;
  readonly package: string;
  readonly syntax: string;
  readonly edition: number;
  readonly messageType: readonly MessageDescriptor[];
  readonly extension: readonly FieldDescriptor[];
  readonly service: readonly ServiceDescriptor[];
  readonly options: { readonly features?: Features } | null;
}

/** A decoded DescriptorProto: one message type. */
export interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly extension: readonly FieldDescriptor[];
  readonly nestedType: readonly MessageDescriptor[];
  readonly options: { readonly mapEntry?: boolean; readonly features?: Features } | null;
}

/** A decoded FieldDescriptorProto: one field or extension. */
export interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly label: number;
  readonly type: number;
  readonly typeName: string;
  readonly extendee: string;
  readonly oneofIndex: number;
  readonly options: { readonly packed?: boolean; readonly features?: Features } | null;
}

/** A decoded ServiceDescriptorProto: one service. */
export interface ServiceDescriptor {
  readonly name: string;
  readonly method: readonly MethodDescriptor[];
}

/** A decoded MethodDescriptorProto: one method. */
export interface MethodDescriptor {
  readonly name: string;
  readonly inputType: string;
  readonly options: { readonly idempotencyLevel: number; readonly policy: readonly Uint8Array[] } | null;
}

/** The edition features that change the meaning of encoded messages. Files, messages and fields may set them. */
export interface Features {
  readonly fieldPresence?: number;
  readonly messageEncoding?: number;
}

/** Values of FieldDescriptorProto.Label. */
export const label = { repeated: 3 } as const;
/** Values of FeatureSet.FieldPresence. */
export const presence = { explicit: 1, implicit: 2 } as const;
/** Values of FeatureSet.MessageEncoding. */
export const encoding = { lengthPrefixed: 1, delimited: 2 } as const;
