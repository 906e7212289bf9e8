import test from 'ava';
import { sequenceTurnRows } from './rows/sequences/concurrency.js';
import { sequenceNameRows } from './rows/sequences/metadata.js';
import { sequenceOrderRows } from './rows/sequences/order.js';
import { sequenceKeepingRows } from './rows/sequences/stored-series.js';
import { play } from './table/run-rows.js';

play(test, {
  'idempotency-sequence': sequenceOrderRows,
  names: sequenceNameRows,
  turns: sequenceTurnRows,
  keeping: sequenceKeepingRows,
});
