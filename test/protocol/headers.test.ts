import test from 'ava';
import { isGuardMetadata, isKey, keyIn, toSequence } from 'grpc-replay-guard/protocol';

test('a key has 1 to 255 of the allowed characters', (t) => {
  for (const key of ['a', 'A-Za-z0-9._~:/+=@', 'k'.repeat(255)]) t.true(isKey(key), key);
  for (const key of ['', 'k'.repeat(256), 'a b', 'a,b', 'ä', 'a\n', '"a"']) t.false(isKey(key), key);
});

test('the key of a value in double quotes is the text between the quotes', (t) => {
  for (const value of ['abc', '"abc"']) t.is(keyIn(value), 'abc');
  t.is(keyIn(`"${'k'.repeat(255)}"`), 'k'.repeat(255));
  for (const value of ['', '"', '""', '"abc', 'abc"', '""abc""', '"a\\"b"', '"abc";p', ' "abc"', '"abc"\n'])
    t.is(keyIn(value), undefined, value);
});

test('only text is a key', (t) => {
  for (const value of [undefined, null, 1, 1n, Buffer.from('key'), ['key'], {}]) t.false(isKey(value));
});

test('a sequence is a decimal number up to 2^63 - 1 without leading zeros', (t) => {
  t.is(toSequence('0'), 0n);
  t.is(toSequence('9223372036854775807'), 2n ** 63n - 1n);
  for (const text of ['', '-1', '+1', '01', '1.0', '1e3', ' 1', '9223372036854775808', '9'.repeat(20)]) {
    t.is(toSequence(text), undefined, text);
  }
});

test('metadata of the guard is recognised by its prefix', (t) => {
  for (const name of ['idempotency-key', 'idempotency-expires-at', 'idempotent-replayed']) {
    t.true(isGuardMetadata(name), name);
  }
  for (const name of ['idempotency', 'x-idempotency-key', 'idempotence-key', 'content-type']) {
    t.false(isGuardMetadata(name), name);
  }
});
