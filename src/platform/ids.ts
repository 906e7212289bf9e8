/**
 * Makes ids of new things. `name` says what the id is for and is used once per operation, so that a second
 * execution of the same operation may be given the same id.
 */
export interface Ids {
  next(name: string): string;
}
