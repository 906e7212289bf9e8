import { status } from '@grpc/grpc-js';
import test from 'ava';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { methods, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);

test.serial('postgres: calls are refused while the database is down and succeed afterwards', async (t) => {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url);
  t.teardown(opened.close);
  const ledger = await openLedger(t, data, { opened });
  for (const method of methods) await ledger.ask(method, 'before', 'alice');
  for (const round of [1, 2]) {
    proxy.down();
    for (const method of methods) {
      const refused = await ledger.ask(method, `key-${round}`, 'alice');
      assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      t.notRegex(refused.details, /127\.0\.0\.1|ECONN/);
    }
    t.is(ledger.entered, 2 * round, 'no handler was entered');
    await t.throwsAsync(opened.ping(), { name: 'DatabaseUnavailableError' });
    proxy.up();
    await poll('the store is back', () =>
      opened.ping().then(
        () => true,
        () => false,
      ),
    );
    for (const method of methods) {
      t.like(await ledger.ask(method, 'before', 'alice'), { code: status.OK, replayed: true });
      t.like(await ledger.ask(method, `key-${round}`, 'alice'), { code: status.OK, replayed: false });
    }
  }
  t.is((await ledger.effects()).length, 6);
});
