import test from 'ava';
import { sequenceKeepingRows } from './rows/sequence-keeping.js';
import { sequenceNameRows } from './rows/sequence-names.js';
import { sequenceOrderRows } from './rows/sequence-order.js';
import { sequenceTurnRows } from './rows/sequence-turns.js';
import { play } from './table/play.js';

play(test, {
  'idempotency-sequence': sequenceOrderRows,
  names: sequenceNameRows,
  turns: sequenceTurnRows,
  keeping: sequenceKeepingRows,
});
