import test from 'ava';
import { metricRows } from './rows/metrics.js';
import { play } from './table/run-rows.js';

play(test, { metrics: metricRows });
