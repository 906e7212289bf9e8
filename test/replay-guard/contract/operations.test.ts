import test from 'ava';
import { firstSentRows } from './rows/operations/first-sent.js';
import { keyRows } from './rows/operations/key.js';
import { limitRows } from './rows/operations/limits.js';
import { reuseRows } from './rows/operations/reuse.js';
import { storeFailureRows } from './rows/operations/store-failures.js';
import { unreadableReplyRows } from './rows/operations/unreadable-replies.js';
import { runRows } from './table/run-rows.js';

runRows(test, {
  'idempotency-key': keyRows,
  'idempotency-first-sent': firstSentRows,
  'used key': reuseRows,
  'store failure': storeFailureRows,
  'unreadable reply': unreadableReplyRows,
  limits: limitRows,
});
