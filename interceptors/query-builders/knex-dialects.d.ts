// Knex publishes these files without types.

declare module 'knex/lib/dialects/postgres/index.js' {
  import { Knex } from 'knex';

  export default Knex.Client;
}

declare module 'knex/lib/dialects/better-sqlite3/index.js' {
  import { Knex } from 'knex';

  export default Knex.Client;
}

declare module 'knex/lib/dialects/postgres/execution/pg-transaction.js' {
  /** The life of a transaction: it begins, runs the work of the application, and commits or rolls back. */
  export default class Transaction {
    constructor(client: unknown, container: unknown, config: unknown, outer: unknown);
    /** The name of the transaction, and of its savepoint if it is nested. */
    readonly txid: string;
    release(connection: unknown, value?: unknown): Promise<unknown>;
    rollbackTo(connection: unknown, error?: unknown): Promise<unknown>;
  }
}
