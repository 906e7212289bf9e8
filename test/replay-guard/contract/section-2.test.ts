import test from 'ava';
import { firstSentRows } from './rows/first-sent.js';
import { keyRows } from './rows/key.js';
import { limitRows } from './rows/limits.js';
import { reuseRows } from './rows/reuse.js';
import { storeRefusalRows } from './rows/store-refusals.js';
import { unreadableRows } from './rows/unreadable.js';
import { play } from './table/play.js';

play(test, {
  'idempotency-key': keyRows,
  'idempotency-first-sent': firstSentRows,
  reuse: reuseRows,
  store: storeRefusalRows,
  unreadable: unreadableRows,
  limits: limitRows,
});
