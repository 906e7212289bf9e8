import test from 'ava';
import { sequenceConcurrencyRows } from './rows/sequences/concurrency.js';
import { sequenceMetadataRows } from './rows/sequences/metadata.js';
import { sequenceOrderRows } from './rows/sequences/order.js';
import { storedSeriesRows } from './rows/sequences/stored-series.js';
import { sequenceTakeoverRows } from './rows/sequences/takeovers.js';
import { runRows } from './table/run-rows.js';

runRows(test, {
  'idempotency-sequence': sequenceOrderRows,
  'sequence metadata': sequenceMetadataRows,
  'sequence concurrency': sequenceConcurrencyRows,
  'sequence takeover': sequenceTakeoverRows,
  'stored series': storedSeriesRows,
});
