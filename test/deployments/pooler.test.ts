// A part of the contracts, through PgBouncer in transaction mode. `npm run pooler` runs all of them.
import test from 'ava';
import { pgbouncer } from '../helpers/databases/pgbouncer.js';

if (pgbouncer) {
  process.env.TEST_POOLER = 'pgbouncer';
  await import('./contracts.js');
} else {
  test('the contracts through PgBouncer', (t) => {
    t.log('did not run: this machine has no PgBouncer');
    t.pass();
  });
}
