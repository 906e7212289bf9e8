/** The findings of the checks. All checks of `doctor` add to one object. */
export interface Findings {
  /** The server or the file, and its state. */
  readonly facts: string[];
  /** The faults that make calls fail or break the promise. Each is one sentence. */
  readonly problems: string[];
  /** Statements and commands that mend problems. The owner of the tables runs them. */
  readonly mending: string[];
  /** Facts that an operator should know. */
  readonly notes: string[];
  /** Statements and commands that follow from notes. */
  readonly advice: string[];
}

/** Returns findings without an entry. */
export function noFindings(): Findings {
  return { facts: [], problems: [], mending: [], notes: [], advice: [] };
}
