import { status } from '@grpc/grpc-js';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { decodeStatusDetails } from '../../helpers/messages/status-details.js';
import { openFeed, WATCH, watch } from '../../helpers/servers/feed.js';

const emptied = emptiedData(test);

for (const engine of engines) {
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    test.serial(
      `${engine}, ${atomicity}: a stream above the size limit is rolled back before a message is sent`,
      async (t) => {
        const { store, database } = await (await emptied(t, engine)).open();
        await database.migrate('notes', ['CREATE TABLE notes (note TEXT NOT NULL)']);
        const policies = { [WATCH]: { atomicity, maxReplyBytes: 152 } };
        const guard = createReplayGuard({ store, scope: singleTenant(), policies });
        t.teardown(() => guard.close());
        let executions = 0;
        const connection = await openFeed(t, guard, async (call) => {
          executions++;
          const { account } = call.request;
          await database.query('INSERT INTO notes (note) VALUES ($1)', [account]);
          // Ten messages of 10 bytes, each with its prefix of 5 bytes, and the status message `OK` fit exactly.
          for (let i = 0; i < (account === 'fits' ? 10 : 11); i++) call.write('x'.repeat(10));
          call.end();
        });
        for (const replayed of [false, true]) {
          const fits = watch(connection, 'fits', 'fits');
          t.is((await fits.ended).code, status.OK);
          t.is(fits.texts.length, 10);
          const large = watch(connection, 'large', 'large');
          const { code, metadata } = await large.ended;
          t.is(code, status.RESOURCE_EXHAUSTED);
          t.deepEqual(large.texts, []);
          const [details] = metadata.get('grpc-status-details-bin');
          t.deepEqual(decodeStatusDetails(details as Buffer).errorInfo, {
            reason: 'IDEMPOTENCY_REPLY_TOO_LARGE',
            domain: 'grpc-replay-guard',
            metadata: { limit_bytes: '152' },
          });
          t.deepEqual(metadata.get('idempotent-replayed'), replayed ? ['true'] : []);
        }
        t.deepEqual(await database.query('SELECT note FROM notes'), [{ note: 'fits' }]);
        t.is(executions, 2, 'each key executed once');
      },
    );
  }
}
