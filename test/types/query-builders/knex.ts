import type { Database } from 'grpc-replay-guard/database';
import { createKnexClient, type KnexClientOptions } from 'grpc-replay-guard/knex';
import knexOf, { type Knex } from 'knex';
import { expectType } from '../expect-type.js';

declare const database: Database;

const client = createKnexClient(database, { parseBigInt: Number });
expectType<typeof Knex.Client>()(client);
const knex = knexOf({ client });
expectType<{ id: number }[]>()(await knex<{ id: number }>('notes').select('*'));
// @ts-expect-error an unknown option
createKnexClient(database, { pool: 1 });
const options: KnexClientOptions = {};
// @ts-expect-error options are readonly
options.parseBigInt = Number;
