/** One way to run the shop that is measured against the others. */
export interface Variant {
  readonly name: string;
  /** `sqlite:PATH` or `postgres://...`. */
  readonly databaseUrl: string;
  readonly guarded: boolean;
  /** SQLite: how many units of work share a commit. */
  readonly groupLimit?: number;
}

/** What a variant's server tells the benchmark. */
export type ServerMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'cpu'; readonly micros: number };
