import test from 'ava';
import { firstSentRows } from './rows/operations/first-sent.js';
import { keyRows } from './rows/operations/key.js';
import { limitRows } from './rows/operations/limits.js';
import { reuseRows } from './rows/operations/reuse.js';
import { storeRefusalRows } from './rows/operations/store-failures.js';
import { unreadableRows } from './rows/operations/unreadable-replies.js';
import { play } from './table/run-rows.js';

play(test, {
  'idempotency-key': keyRows,
  'idempotency-first-sent': firstSentRows,
  reuse: reuseRows,
  store: storeRefusalRows,
  unreadable: unreadableRows,
  limits: limitRows,
});
