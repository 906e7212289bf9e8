import test from 'ava';
import { metricRows } from './rows/metrics.js';
import { play } from './table/play.js';

play(test, { metrics: metricRows });
