import type { WakeUps } from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import { expectType } from '../expect-type.js';

const client = { connectionString: 'postgres://localhost/shop' };
expectType<WakeUps>()(createPostgresWakeUps({ client, onError: (error) => expectType<unknown>()(error) }));
// @ts-expect-error the client is missing
createPostgresWakeUps({});
// @ts-expect-error an unknown option
createPostgresWakeUps({ client, channel: 'a' });
// @ts-expect-error the settings of a client, not its address
createPostgresWakeUps({ client: 'postgres://localhost/shop' });
