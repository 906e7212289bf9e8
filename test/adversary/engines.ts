/** The databases on which the adversary runs. */
export const engines = ['sqlite', 'postgres'] as const;
/** One of `engines`. */
export type Engine = (typeof engines)[number];
