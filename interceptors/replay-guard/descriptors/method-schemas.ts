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

/** By FieldDescriptorProto.Type; what is missing is a message. Enums are int32. */
const scalars: Partial<Record<number, Scalar>> = {
  ...{ 1: 'double', 2: 'float', 3: 'int64', 4: 'uint64', 5: 'int32', 6: 'fixed64', 7: 'fixed32', 8: 'bool' },
  ...{ 9: 'string', 12: 'bytes', 13: 'uint32', 14: 'int32', 15: 'sfixed32', 16: 'sfixed64', 17: 'sint32' },
  18: 'sint64',
};
const GROUP = 10;

/** The methods of a set of descriptors, and how their requests are written. */
export class Schema {
  readonly #types: TypeIndex;
  readonly #methods = new Map<string, { readonly scope: string; readonly descriptor: MethodDescriptor }>();
  readonly #shapes = new Map<MessageDescriptor, MessageSchema>();

  /** @throws TypeError a file is of an edition that is not known here */
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

  /** The method at a path such as `/shop.order.v1.OrderService/PlaceOrder`. */
  method(path: string): MethodDescriptor | undefined {
    return this.#methods.get(path)?.descriptor;
  }

  /**
   * The request of the method at a path; undefined where there is no such method.
   * @throws TypeError a type that it needs is not among the descriptors
   */
  request(path: string): MessageSchema | undefined {
    const method = this.#methods.get(path);
    return method && this.#shape(this.#types.find(method.descriptor.inputType, method.scope));
  }

  #shape(message: DeclaredMessage): MessageSchema {
    const known = this.#shapes.get(message.descriptor);
    if (known) return known;
    const fields = new Map<number, FieldSchema>();
    const shape = { name: message.name, fields };
    // Before its fields are read, since they may hold the message itself.
    this.#shapes.set(message.descriptor, shape);
    const inEntry = isMapEntry(message.descriptor);
    for (const field of this.#types.fieldsOf(message))
      fields.set(field.descriptor.number, this.#field(field, inEntry));
    return shape;
  }

  #field({ descriptor, scope, features: inherited }: DeclaredField, inEntry: boolean): FieldSchema {
    const features = { ...inherited, ...descriptor.options?.features };
    const isRepeated = descriptor.label === label.repeated;
    const kind = isRepeated ? 'repeated' : 'singular';
    const field = { name: descriptor.name, number: descriptor.number, ...oneofOf(descriptor) };
    const scalar = scalars[descriptor.type];
    if (scalar) {
      const hasPresence = inEntry || tracksPresence(descriptor, features);
      return { ...field, kind, scalar, delimited: false, hasPresence };
    }
    const target = this.#messageOf(descriptor, scope);
    const isMap = isRepeated && isMapEntry(target.descriptor) && target.name.startsWith(`${scope}.`);
    const isDelimited = features.messageEncoding === encoding.delimited && !isMap && !inEntry;
    return {
      ...{ ...field, kind: isMap ? 'map' : kind, message: this.#shape(target), hasPresence: true },
      delimited: descriptor.type === GROUP || isDelimited,
    };
  }

  #messageOf(field: FieldDescriptor, scope: string): DeclaredMessage {
    const named = this.#types.named(field.typeName, scope);
    const isOwnEntry = field.typeName.toLowerCase() === field.name.toLowerCase();
    const chosen = named.find(({ descriptor }) => isMapEntry(descriptor) === isOwnEntry);
    return chosen ?? this.#types.find(field.typeName, scope);
  }
}

const oneofOf = (field: FieldDescriptor) =>
  Object.hasOwn(field, 'oneofIndex') ? { oneof: field.oneofIndex } : {};

function tracksPresence(field: FieldDescriptor, features: Features): boolean {
  if (Object.hasOwn(field, 'oneofIndex') || field.extendee) return true;
  // proto-loader calls every file proto3, but says this of each field of proto2.
  const isProto2 = field.options !== null && Object.hasOwn(field.options, 'packed') && !field.options.packed;
  return isProto2 || features.fieldPresence !== presence.implicit;
}

/** The flag alone does not do: protobufjs leaks it to the message around the entry. */
function isMapEntry({ options, field, nestedType }: MessageDescriptor): boolean {
  const isPair = field.length === 2 && field.every(({ name }, at) => name === (at ? 'value' : 'key'));
  return options?.mapEntry === true && isPair && nestedType.length === 0;
}
