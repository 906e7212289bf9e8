import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

/** The number of the extension `(replayguard.v1.policy)` of `google.protobuf.MethodOptions`. */
const POLICY_OPTION = 50921;

/** The types of google/protobuf/descriptor.proto, our own so that the extension is seen by nobody else. */
const types = protobuf.Root.fromJSON(descriptor.FileDescriptorSet.root.toJSON());
types
  .lookupType('google.protobuf.MethodOptions')
  .add(new protobuf.Field('policy', POLICY_OPTION, 'bytes', 'repeated'));
const fileSet = types.lookupType('google.protobuf.FileDescriptorSet');
const file = types.lookupType('google.protobuf.FileDescriptorProto');

/** @throws Error the bytes are no FileDescriptorSet; a buf image is one, with more fields */
export function decodeFileSet(bytes: Uint8Array): readonly FileDescriptor[] {
  return (fileSet.decode(bytes) as unknown as { file: readonly FileDescriptor[] }).file;
}

export function decodeFile(bytes: Uint8Array): FileDescriptor {
  return file.decode(bytes) as unknown as FileDescriptor;
}

/** A decoded FileDescriptorProto: lists are never absent, what else is absent reads as its default. */
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

export interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly extension: readonly FieldDescriptor[];
  readonly nestedType: readonly MessageDescriptor[];
  readonly options: { readonly mapEntry?: boolean; readonly features?: Features } | null;
}

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

export interface ServiceDescriptor {
  readonly name: string;
  readonly method: readonly MethodDescriptor[];
}

export interface MethodDescriptor {
  readonly name: string;
  readonly inputType: string;
  readonly options: { readonly idempotencyLevel: number; readonly policy: readonly Uint8Array[] } | null;
}

/** What an edition lets files, messages and fields choose, as far as it changes what a message means. */
export interface Features {
  readonly fieldPresence?: number;
  readonly messageEncoding?: number;
}

export const label = { repeated: 3 } as const;
export const presence = { explicit: 1, implicit: 2 } as const;
export const encoding = { lengthPrefixed: 1, delimited: 2 } as const;
