import test from 'ava';
import { sagaSuite } from './saga.js';

sagaSuite(test, 'sqlite');
