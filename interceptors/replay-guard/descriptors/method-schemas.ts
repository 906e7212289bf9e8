import {
  encoding,
  type Features,
  type FieldDescriptor,
  type FileDescriptor,
  label,
  type MessageDescriptor,
  type MethodDescriptor,
  presence,
} from './descriptor-messages.js';
import type { FieldSchema, MessageSchema, Scalar } from './message-schema.js';
import { type DeclaredField, type DeclaredMessage, nameIn, TypeIndex } from './type-index.js';

/** Scalar types by FieldDescriptorProto.Type. Types that are not listed are messages. An enum is an int32. */
const scalars: Partial<Record<number, Scalar>> = {
  ...{ 1: 'double', 2: 'float', 3: 'int64', 4: 'uint64', 5: 'int32', 6: 'fixed64', 7: 'fixed32', 8: 'bool' },
  ...{ 9: 'string', 12: 'bytes', 13: 'uint32', 14: 'int32', 15: 'sfixed32', 16: 'sfixed64', 17: 'sint32' },
  18: 'sint64',
};
const GROUP = 10;

/** The methods of a list of files, and the schemas of their requests. */
export class MethodSchemas {
  readonly #types: TypeIndex;
  readonly #methods = new Map<string, { readonly scope: string; readonly descriptor: MethodDescriptor }>();
  readonly #schemas = new Map<MessageDescriptor, MessageSchema>();

  /** @throws TypeError if the edition of a file is not supported */
  constructor(files: readonly FileDescriptor[]) {
    this.#types = new TypeIndex(files);
    for (const file of files) {
      for (const service of file.service) {
        const scope = nameIn(file.package, service.name);
        for (const descriptor of service.method)
          this.#methods.set(`/${scope}/${descriptor.name}`, { scope, descriptor });
      }
    }
  }

  /** Returns the descriptor of a method by its path, such as `/shop.order.v1.OrderService/PlaceOrder`. */
  descriptor(path: string): MethodDescriptor | undefined {
    return this.#methods.get(path)?.descriptor;
  }

  /**
   * Returns the schema of a method's request. Returns undefined if no method has this path.
   * @throws TypeError if the files do not contain all types of the request
   */
  request(path: string): MessageSchema | undefined {
    const method = this.#methods.get(path);
    return method && this.#schema(this.#types.find(method.descriptor.inputType, method.scope));
  }

  #schema(message: DeclaredMessage): MessageSchema {
    const known = this.#schemas.get(message.descriptor);
    if (known) return known;
    const fields = new Map<number, FieldSchema>();
    const schema = { name: message.name, fields };
    // Store the schema before the fields are read, because a field may have the type of the message itself.
    this.#schemas.set(message.descriptor, schema);
    const isMapEntryField = isMapEntry(message.descriptor);
    for (const field of this.#types.fieldsOf(message))
      fields.set(field.descriptor.number, this.#field(field, isMapEntryField));
    return schema;
  }

  #field({ descriptor, scope, features: inherited }: DeclaredField, isMapEntryField: boolean): FieldSchema {
    const features = { ...inherited, ...descriptor.options?.features };
    const isRepeated = descriptor.label === label.repeated;
    const kind = isRepeated ? 'repeated' : 'singular';
    const common = { name: descriptor.name, number: descriptor.number, ...oneofOf(descriptor) };
    const scalar = scalars[descriptor.type];
    if (scalar) {
      const hasPresence = isMapEntryField || tracksPresence(descriptor, features);
      return { ...common, kind, scalar, delimited: false, hasPresence };
    }
    const target = this.#messageOf(descriptor, scope);
    const isMap = isRepeated && isMapEntry(target.descriptor) && target.name.startsWith(`${scope}.`);
    const isDelimited = features.messageEncoding === encoding.delimited && !isMap && !isMapEntryField;
    return {
      ...{ ...common, kind: isMap ? 'map' : kind, message: this.#schema(target), hasPresence: true },
      delimited: descriptor.type === GROUP || isDelimited,
    };
  }

  #messageOf(field: FieldDescriptor, scope: string): DeclaredMessage {
    const candidates = this.#types.named(field.typeName, scope);
    const isOwnEntry = field.typeName.toLowerCase() === field.name.toLowerCase();
    const found = candidates.find(({ descriptor }) => isMapEntry(descriptor) === isOwnEntry);
    return found ?? this.#types.find(field.typeName, scope);
  }
}

const oneofOf = (field: FieldDescriptor) =>
  field.oneofIndex === undefined ? {} : { oneof: field.oneofIndex };

function tracksPresence(field: FieldDescriptor, features: Features): boolean {
  if (field.oneofIndex !== undefined || field.extendee) return true;
  // proto-loader marks every file as proto3, but sets `packed = false` at each field of a proto2 file.
  const isProto2 = field.options?.packed === false;
  return isProto2 || features.fieldPresence !== presence.implicit;
}

/**
 * Whether a message type is a map entry. Checks the structure too, because protobufjs also sets the flag at the
 * enclosing message.
 */
function isMapEntry({ options, field, nestedType }: MessageDescriptor): boolean {
  const isPair = field.length === 2 && field.every(({ name }, at) => name === (at ? 'value' : 'key'));
  return options?.mapEntry === true && isPair && nestedType.length === 0;
}
