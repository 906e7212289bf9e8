import { readFileSync } from 'node:fs';
import test from 'ava';
import { REASONS } from 'grpc-replay-guard/protocol';

test('every reason has the prefix of the contract and the name of its constant', (t) => {
  for (const [name, reason] of Object.entries<string>(REASONS)) t.is(reason, `IDEMPOTENCY_${name}`);
});

test('the library and the contract list the same reasons', (t) => {
  const contract = readFileSync('docs/contract.md', 'utf8');
  const listed = new Set(contract.match(/IDEMPOTENCY_[A-Z_]+/g));
  t.deepEqual([...listed].sort(), Object.values(REASONS).sort());
});
