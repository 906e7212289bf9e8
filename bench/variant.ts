/** A configuration of the shop that the benchmark measures. */
export interface Variant {
  readonly name: string;
  /** `sqlite:PATH` or `postgres://...`. */
  readonly databaseUrl: string;
  readonly guarded: boolean;
  /** The maximum number of units of work in one commit. SQLite only. */
  readonly groupLimit?: number;
}

/** A message from the server of a variant to the benchmark. */
export type ServerMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'cpu'; readonly micros: number };
