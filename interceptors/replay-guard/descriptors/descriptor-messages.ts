import { bool, bytes, int32, message, optional, repeated, string } from '../../wire/fields.js';
import { MessageFormat } from '../../wire/message-format.js';

/**
 * Decodes a FileDescriptorSet. A buf image is a FileDescriptorSet with more fields.
 * @throws Error if the bytes are malformed
 */
export function decodeFileSet(bytes: Uint8Array): readonly FileDescriptor[] {
  return fileSet.decode(bytes).file;
}

/**
 * Decodes a FileDescriptorProto.
 * @throws Error if the bytes are malformed
 */
export function decodeFile(bytes: Uint8Array): FileDescriptor {
  return file.decode(bytes);
}

/** A decoded FileDescriptorProto. An absent list is empty, an absent string is empty, an absent number is 0. */
export interface FileDescriptor {
  readonly name: string;
  readonly package: string;
  readonly syntax: string;
  readonly edition: number;
  readonly messageType: readonly MessageDescriptor[];
  readonly extension: readonly FieldDescriptor[];
  readonly service: readonly ServiceDescriptor[];
  readonly options?: { readonly features?: Features };
}

/** A decoded DescriptorProto: one message type. */
export interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly extension: readonly FieldDescriptor[];
  readonly nestedType: readonly MessageDescriptor[];
  readonly options?: { readonly mapEntry?: boolean; readonly features?: Features };
}

/** A decoded FieldDescriptorProto: one field or extension. */
export interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly label: number;
  readonly type: number;
  readonly typeName: string;
  readonly extendee: string;
  readonly oneofIndex?: number;
  readonly options?: { readonly packed?: boolean; readonly features?: Features };
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
  readonly options?: { readonly idempotencyLevel: number; readonly policy: readonly Uint8Array[] };
}

/** The edition features that change the meaning of encoded messages. Files, messages and fields may set them. */
export interface Features {
  readonly fieldPresence?: number;
  readonly messageEncoding?: number;
}

/** The field number of the option `(replayguard.v1.policy)` in `google.protobuf.MethodOptions`. */
const POLICY_OPTION = 50921;

// The numbers are those of google/protobuf/descriptor.proto.
const featureSet = new MessageFormat<Features>({
  fieldPresence: optional(int32(1)),
  messageEncoding: optional(int32(5)),
});
const features = (number: number) => message(number, () => featureSet);
const fileOptions = new MessageFormat<Options<FileDescriptor>>({ features: features(50) });
const messageOptions = new MessageFormat<Options<MessageDescriptor>>({
  mapEntry: optional(bool(7)),
  features: features(12),
});
const fieldOptions = new MessageFormat<Options<FieldDescriptor>>({
  packed: optional(bool(2)),
  features: features(21),
});
const methodOptions = new MessageFormat<Options<MethodDescriptor>>({
  idempotencyLevel: int32(34),
  policy: repeated(bytes(POLICY_OPTION)),
});
const field = new MessageFormat<FieldDescriptor>({
  ...{ name: string(1), extendee: string(2), number: int32(3), label: int32(4), type: int32(5) },
  ...{ typeName: string(6), options: message(8, () => fieldOptions), oneofIndex: optional(int32(9)) },
});
const messageType: MessageFormat<MessageDescriptor> = new MessageFormat<MessageDescriptor>({
  ...{ name: string(1), field: repeated(message(2, () => field)) },
  ...{ nestedType: repeated(message(3, () => messageType)), extension: repeated(message(6, () => field)) },
  options: message(7, () => messageOptions),
});
const method = new MessageFormat<MethodDescriptor>({
  ...{ name: string(1), inputType: string(2), options: message(4, () => methodOptions) },
});
const service = new MessageFormat<ServiceDescriptor>({
  ...{ name: string(1), method: repeated(message(2, () => method)) },
});
const file = new MessageFormat<FileDescriptor>({
  ...{ name: string(1), package: string(2), syntax: string(12), edition: int32(14) },
  ...{ messageType: repeated(message(4, () => messageType)), service: repeated(message(6, () => service)) },
  ...{ extension: repeated(message(7, () => field)), options: message(8, () => fileOptions) },
});
const fileSet = new MessageFormat({ file: repeated(message(1, () => file)) });

type Options<T extends { readonly options?: object }> = NonNullable<T['options']>;

/** Values of FieldDescriptorProto.Label. */
export const label = { repeated: 3 } as const;
/** Values of FeatureSet.FieldPresence. */
export const presence = { explicit: 1, implicit: 2 } as const;
/** Values of FeatureSet.MessageEncoding. */
export const encoding = { lengthPrefixed: 1, delimited: 2 } as const;
