import test from 'ava';
import { executionRows } from './rows/policies/execution.js';
import { fingerprintRows } from './rows/policies/fingerprint.js';
import { keyAgeRows } from './rows/policies/key-age.js';
import { keyFieldRows } from './rows/policies/key-field.js';
import { keyRequirementRows } from './rows/policies/key-requirement.js';
import { modeRows } from './rows/policies/modes.js';
import { retentionRows } from './rows/policies/retention.js';
import { storedReplyRows } from './rows/policies/stored-replies.js';
import { runRows } from './table/run-rows.js';

runRows(test, {
  mode: modeRows,
  'key requirement': keyRequirementRows,
  key_field: keyFieldRows,
  reject_old_keys: keyAgeRows,
  fingerprint_excludes: fingerprintRows,
  ttl: retentionRows,
  execution: executionRows,
  'stored reply': storedReplyRows,
});
