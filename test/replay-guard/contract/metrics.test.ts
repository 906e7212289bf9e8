import test from 'ava';
import { metricRows } from './rows/metrics.js';
import { runRows } from './table/run-rows.js';

runRows(test, { metrics: metricRows });
