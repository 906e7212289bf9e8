/** Whether two types are the same: `any` is the same as `any` only. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** `expectType<Expected>()(value)` compiles only if the type of the value is exactly `Expected`. */
export function expectType<Expected>() {
  return <const Actual>(
    _value: Actual,
    ..._same: Same<Actual, Expected> extends true ? [] : [never]
  ): void => {};
}
