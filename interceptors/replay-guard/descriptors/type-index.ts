import {
  encoding,
  type Features,
  type FieldDescriptor,
  type FileDescriptor,
  type MessageDescriptor,
  presence,
} from './descriptor-messages.js';

export interface DeclaredMessage {
  /** The full name, without a leading dot. */
  readonly name: string;
  readonly descriptor: MessageDescriptor;
  readonly features: Features;
}

export interface DeclaredField {
  readonly descriptor: FieldDescriptor;
  /** The scope that the name of its type is resolved in. */
  readonly scope: string;
  /** Of what it stands in; its own are on top of them. */
  readonly features: Features;
}

/** The message types of a set of files by name, and the extensions of each. */
export class TypeIndex {
  readonly #messages = new Map<string, DeclaredMessage[]>();
  readonly #extensions = new Map<string, DeclaredField[]>();

  /** @throws TypeError a file is of an edition that is not known here */
  constructor(files: readonly FileDescriptor[]) {
    const extensions = files.flatMap((file) => {
      const features = { ...defaultFeatures(file), ...file.options?.features };
      const nested = file.messageType.flatMap((message) => this.#declare(message, file.package, features));
      const own = file.extension.map((descriptor) => ({ descriptor, scope: file.package, features }));
      return [...nested, ...own];
    });
    for (const extension of extensions) this.#extend(extension);
  }

  /** @throws TypeError there is no such type */
  find(typeName: string, scope: string): DeclaredMessage {
    const [found] = this.named(typeName, scope);
    if (!found) throw new TypeError(`the type ${typeName} is not among the descriptors`);
    return found;
  }

  /**
   * From the innermost scope outwards, as protoc does; protoc itself names types in full, `.a.b.C`. Several, where
   * proto-loader named a map's entry after its field, and a message beside it has that name.
   */
  named(typeName: string, scope: string): readonly DeclaredMessage[] {
    if (typeName.startsWith('.')) return this.#messages.get(typeName.slice(1)) ?? [];
    for (let outer = scope; ; outer = outer.slice(0, Math.max(0, outer.lastIndexOf('.')))) {
      const found = this.#messages.get(nameIn(outer, typeName));
      if (found) return found;
      if (outer === '') return [];
    }
  }

  fieldsOf({ name: scope, descriptor: message, features }: DeclaredMessage): readonly DeclaredField[] {
    const own = message.field.filter(({ extendee }) => !extendee);
    const extensions = this.#extensions.get(scope) ?? [];
    return [...own.map((descriptor) => ({ descriptor, scope, features })), ...extensions];
  }

  /** Gives the extensions that stand inside. */
  #declare(descriptor: MessageDescriptor, scope: string, inherited: Features): DeclaredField[] {
    const name = nameIn(scope, descriptor.name);
    const features = { ...inherited, ...descriptor.options?.features };
    this.#messages.set(name, [...(this.#messages.get(name) ?? []), { name, descriptor, features }]);
    // proto-loader puts them among the message's own fields.
    const extensions = [...descriptor.extension, ...descriptor.field.filter(({ extendee }) => extendee)];
    return [
      ...extensions.map((extension) => ({ descriptor: extension, scope: name, features })),
      ...descriptor.nestedType.flatMap((nested) => this.#declare(nested, name, features)),
    ];
  }

  #extend(extension: DeclaredField): void {
    // Options of descriptor.proto are extensions too; a set need not hold what no request can reach.
    const [extended] = this.named(extension.descriptor.extendee, extension.scope);
    if (!extended) return;
    this.#extensions.set(extended.name, [...(this.#extensions.get(extended.name) ?? []), extension]);
  }
}

export const nameIn = (scope: string, name: string): string => (scope ? `${scope}.${name}` : name);

function defaultFeatures({ name, syntax, edition }: FileDescriptor): Features {
  const messageEncoding = encoding.lengthPrefixed;
  if (syntax === 'proto3') return { fieldPresence: presence.implicit, messageEncoding };
  const known = [0, 998, 1_000, 1_001];
  if (!known.includes(edition)) throw new TypeError(`${name} is of an edition that is not known: ${edition}`);
  return { fieldPresence: presence.explicit, messageEncoding };
}
