import test from 'ava';
import { executionRows } from './rows/execution.js';
import { fingerprintRows } from './rows/fingerprint.js';
import { keepingRows } from './rows/keeping.js';
import { keyAgeRows } from './rows/key-age.js';
import { keyFieldRows } from './rows/key-field.js';
import { keyRequirementRows } from './rows/key-requirement.js';
import { modeRows } from './rows/modes.js';
import { retentionRows } from './rows/retention.js';
import { play } from './table/play.js';

play(test, {
  mode: modeRows,
  key: keyRequirementRows,
  key_field: keyFieldRows,
  reject_old_keys: keyAgeRows,
  fingerprint_excludes: fingerprintRows,
  ttl: retentionRows,
  execution: executionRows,
  keeping: keepingRows,
});
