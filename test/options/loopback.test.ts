import test from 'ava';
import { isLoopback } from '#library/options/loopback.js';

test('loopback names and addresses are recognised', (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '::1', '[::1]']) t.true(isLoopback(host), host);
});

test('other hosts are not loopback hosts', (t) => {
  const others = [
    '',
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '127.evil.example',
    '127.0.0.1.example',
    'localhost.example',
  ];
  for (const host of others) t.false(isLoopback(host), host);
});
