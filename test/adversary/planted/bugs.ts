import type { Engine } from '../engines.js';
import type { Invariant } from '../judge/rule.js';

/** A bug that is planted into the composition of a server, to show that the judge would notice it. */
export interface PlantedBug {
  readonly title: string;
  readonly engine: Engine;
  /** The fault under which the bug does harm. */
  readonly fault: string;
  /** The judge must find at least one of these invariants broken. */
  readonly breaks: readonly Invariant[];
}

/** Every planted bug, by name. `open-with-bug.ts` contains the patches. */
export const bugs = {
  'no-unique-index': {
    title: 'the records have no unique index',
    engine: 'postgres',
    fault: 'duplicates',
    breaks: [1, 2, 3],
  },
  'no-fence': {
    title: 'the completion does not compare the fence',
    engine: 'postgres',
    fault: 'expired-leases',
    breaks: [1, 2],
  },
  'reply-before-commit': {
    title: 'the reply is sent before the commit',
    engine: 'postgres',
    fault: 'kill',
    breaks: [1, 2, 3],
  },
  'two-transactions': {
    title: 'the effect commits before the record, in a transaction of its own',
    engine: 'postgres',
    fault: 'kill',
    breaks: [1],
  },
  'unscoped-key': {
    title: 'all callers have one scope',
    engine: 'sqlite',
    fault: 'duplicates',
    breaks: [1, 7],
  },
  'release-in-doubt': {
    title: 'a claim whose commit is in doubt is released',
    engine: 'postgres',
    fault: 'cut-commit',
    breaks: [1],
  },
  'takeover-of-live-lease': {
    title: 'a takeover does not wait for the lease',
    engine: 'postgres',
    fault: 'duplicates',
    breaks: ['lease'],
  },
  'purge-live-record': {
    title: 'the pruner deletes live records',
    engine: 'sqlite',
    fault: 'duplicates',
    breaks: [1, 3, 8],
  },
  'behind-failed-begin': {
    title: 'a statement behind a failed BEGIN takes effect on its own',
    engine: 'postgres',
    fault: 'duplicates',
    breaks: [1, 4],
  },
} as const satisfies Record<string, PlantedBug>;

/** The name of a planted bug. */
export type BugName = keyof typeof bugs;

/** The names of all planted bugs. */
export const bugNames = Object.keys(bugs) as BugName[];
