import type { Database as Handle } from 'grpc-replay-guard/database';
import { createKyselyDialect } from 'grpc-replay-guard/kysely';
import { REPLAY_GUARD_DATABASE } from 'grpc-replay-guard/nestjs';
import { type ColumnType, Kysely } from 'kysely';

type Big = ColumnType<string, number | string>;

interface Tables {
  accounts: { id: string; balance: Big };
  captures: { id: string; payment: string; account: string; amount: Big };
}

export class Database extends Kysely<Tables> {}

export const databaseProvider = {
  provide: Database,
  inject: [REPLAY_GUARD_DATABASE],
  useFactory: (handle: Handle) => new Database({ dialect: createKyselyDialect(handle) }),
};
