/** The name of every option of a type: a missing or a surplus name does not compile. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: true };

/**
 * Refuses options that a factory does not have: a misspelt option would silently have no effect.
 * @throws TypeError the message names the factory, the unknown option, and the known ones
 */
export function assertKnownOptions<Options extends object>(
  factory: string,
  options: Options,
  names: OptionNames<Options>,
): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name));
  if (unknown === undefined) return;
  throw new TypeError(
    `${factory}: unknown option ${unknown}; its options are ${Object.keys(names).join(', ')}`,
  );
}
