/** A source of ids for new records. */
export interface Ids {
  /**
   * Returns an id. A second execution of the same operation may get the same id.
   * @param name the purpose of the id, used once per operation
   */
  next(name: string): string;
}
