import {
  encoding,
  type Features,
  type FieldDescriptor,
  type FileDescriptor,
  type MessageDescriptor,
  presence,
} from './descriptor-messages.js';

/** A message type and its context. */
export interface DeclaredMessage {
  /** The full name, without a leading dot. */
  readonly name: string;
  readonly descriptor: MessageDescriptor;
  /** The features of the message, including inherited features. */
  readonly features: Features;
}

/** A field or an extension and its context. */
export interface DeclaredField {
  readonly descriptor: FieldDescriptor;
  /** The package or message in which the name of the field's type is resolved. */
  readonly scope: string;
  /** The features that the field inherits. The options of the field have precedence over these features. */
  readonly features: Features;
}

/** The message types of a list of files by name, and the extensions of each type. */
export class TypeIndex {
  readonly #messages = new Map<string, DeclaredMessage[]>();
  readonly #extensions = new Map<string, DeclaredField[]>();

  /** @throws TypeError if the edition of a file is not supported */
  constructor(files: readonly FileDescriptor[]) {
    const extensions = files.flatMap((file) => {
      const features = { ...defaultFeatures(file), ...file.options?.features };
      const nested = file.messageType.flatMap((message) => this.#declare(message, file.package, features));
      const own = file.extension.map((descriptor) => ({ descriptor, scope: file.package, features }));
      return [...nested, ...own];
    });
    for (const extension of extensions) this.#extend(extension);
  }

  /**
   * Returns the message type with a name.
   * @param scope the package or message in which the name is resolved
   * @throws TypeError if the files do not contain the type
   */
  find(typeName: string, scope: string): DeclaredMessage {
    const [found] = this.named(typeName, scope);
    if (!found) throw new TypeError(`the type ${typeName} is not among the descriptors`);
    return found;
  }

  /**
   * Returns all message types with a name. The search goes from the innermost scope outwards, as in protoc. A full
   * name begins with a dot, as in `.a.b.C`. Two types may have the same name, because proto-loader names a map entry
   * after its field. A declared message may also have this name.
   */
  named(typeName: string, scope: string): readonly DeclaredMessage[] {
    if (typeName.startsWith('.')) return this.#messages.get(typeName.slice(1)) ?? [];
    for (let outer = scope; ; outer = outer.slice(0, Math.max(0, outer.lastIndexOf('.')))) {
      const found = this.#messages.get(nameIn(outer, typeName));
      if (found) return found;
      if (outer === '') return [];
    }
  }

  /** Returns the fields of a message type, including its extensions. */
  fieldsOf({ name: scope, descriptor: message, features }: DeclaredMessage): readonly DeclaredField[] {
    const own = message.field.filter(({ extendee }) => !extendee);
    const extensions = this.#extensions.get(scope) ?? [];
    return [...own.map((descriptor) => ({ descriptor, scope, features })), ...extensions];
  }

  /** Adds a message type and its nested types. Returns the extensions that are declared in these types. */
  #declare(descriptor: MessageDescriptor, scope: string, inherited: Features): DeclaredField[] {
    const name = nameIn(scope, descriptor.name);
    const features = { ...inherited, ...descriptor.options?.features };
    this.#messages.set(name, [...(this.#messages.get(name) ?? []), { name, descriptor, features }]);
    // proto-loader puts these extensions among the message's own fields.
    const extensions = [...descriptor.extension, ...descriptor.field.filter(({ extendee }) => extendee)];
    return [
      ...extensions.map((extension) => ({ descriptor: extension, scope: name, features })),
      ...descriptor.nestedType.flatMap((nested) => this.#declare(nested, name, features)),
    ];
  }

  #extend(extension: DeclaredField): void {
    // The extended type may be absent. Custom options extend descriptor.proto, which is not part of a request.
    const [extended] = this.named(extension.descriptor.extendee, extension.scope);
    if (!extended) return;
    this.#extensions.set(extended.name, [...(this.#extensions.get(extended.name) ?? []), extension]);
  }
}

/** Joins a scope and a name to a full name. */
export const nameIn = (scope: string, name: string): string => (scope ? `${scope}.${name}` : name);

function defaultFeatures({ name, syntax, edition }: FileDescriptor): Features {
  const messageEncoding = encoding.lengthPrefixed;
  if (syntax === 'proto3') return { fieldPresence: presence.implicit, messageEncoding };
  const supported = [0, 998, 1_000, 1_001];
  if (!supported.includes(edition))
    throw new TypeError(`the edition of ${name} is not supported: ${edition}`);
  return { fieldPresence: presence.explicit, messageEncoding };
}
