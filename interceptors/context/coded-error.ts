/**
 * An error of the library, with a code that never changes. `instanceof` also recognises the errors of another copy of
 * the library, by the codes of their classes. For example, the guard and its store may come from two copies.
 */
export class CodedError extends Error {
  /** The code of the errors of this class. */
  declare static readonly code: string;
  /** The code of the error. */
  readonly code: string;

  constructor(message?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = new.target.code;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: this is the class on the right side of instanceof
    const { prototype, code } = this;
    if (Object.prototype.isPrototypeOf.call(prototype, value as object)) return true;
    // A class of the application that extends a class of the library has no code of its own.
    return (
      Object.hasOwn(prototype.constructor, 'code') && classesOf(value).some((kind) => codeOf(kind) === code)
    );
  }
}

/** The classes of a value, its own class first. */
function classesOf(value: unknown): unknown[] {
  const classes: unknown[] = [];
  if (typeof value !== 'object' || value === null) return classes;
  for (let of = Object.getPrototypeOf(value); of; of = Object.getPrototypeOf(of))
    classes.push(of.constructor);
  return classes;
}

function codeOf(kind: unknown): unknown {
  return typeof kind === 'function' && Object.hasOwn(kind, 'code') && 'code' in kind ? kind.code : undefined;
}
