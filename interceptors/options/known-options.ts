/** The name of every option of a type. A missing or an unknown name does not compile. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: true };

/**
 * Refuses options that a factory does not know. Without this check a misspelt option would silently have no effect.
 * @param factory the name of the factory, for the message
 * @param names every option that the factory knows
 * @throws TypeError when the options are not an object, or when an option is unknown; the message names the factory,
 *   the option and the known options
 */
export function assertKnownOptions<Options extends object>(
  factory: string,
  options: Options,
  names: OptionNames<Options>,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${factory}: options must be an object`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name));
  if (unknown === undefined) return;
  throw new TypeError(
    `${factory}: unknown option ${unknown}; its options are ${Object.keys(names).join(', ')}`,
  );
}

/**
 * Refuses a value that is not a record. A map, for example, has no properties, so its entries would have no effect.
 * @param name the name of the option, for the message
 * @throws TypeError when the value is not an object literal or a similar object
 */
export function assertRecord(name: string, value: object): void {
  const isObject = typeof value === 'object' && value !== null;
  if (isObject && !Array.isArray(value) && !(Symbol.iterator in value)) return;
  throw new TypeError(`${name} must be an object with a property for each entry, not a list or a map`);
}
