import { once } from 'node:events';
import { setLogger } from '@grpc/grpc-js';
import test from 'ava';
import { createGrpcLogger } from 'grpc-replay-guard/logging';
import { callByHttp2, connectHttp2 } from '../helpers/calls/http2-call.js';
import { openLedger } from '../helpers/servers/guarded-ledger.js';

type Line = [level: string, text: string, lines: number];

function record() {
  const written: Line[] = [];
  return { written, logger: createGrpcLogger((...line) => void written.push(line)) };
}

test.serial('metadata that grpc-js drops is logged without its name and value', async (t) => {
  const { written, logger } = record();
  setLogger(logger);
  t.teardown(() => setLogger(console));
  const ledger = await openLedger(t, 'memory');
  const session = connectHttp2(t, `http://${ledger.server.address}`);
  await callByHttp2(session, ledger.definition.Append.path, {
    ...{ authorization: 'Bearer\teySECRET', 'idempotency-key': 'SECRET-\u00e9', 'x-secret': 'a\tb' },
  });
  t.deepEqual(written, [['error', 'a metadata entry with illegal characters was dropped', 1]]);
});

const lines: Record<string, RegExp> = {
  'Failed to add metadata entry authorization: SECRET. Metadata string': /metadata entry .* was dropped/,
  'No address added out of total 2 resolved': /no address/,
  'WARNING Only 1 addresses added out of total 2 resolved': /not every address/,
  'Connection to dns:SECRET at 1.2.3.4:5 rejected by server because of excess pings. Increasing': /pings/,
  'Failed to connect to SECRET through proxy 1.2.3.4:5 with status 403': /proxy refused/,
  '2026-01-01T00:00:00.000Z | v1.14.7 12 | server_call | Request SECRET': /trace line was left out/,
  'a new line with SECRET': /not known/,
  'x\nFailed to add metadata entry SECRET': /not known/,
};
for (const [line, text] of Object.entries(lines)) {
  test(`the line "${line.slice(0, 40)}" of grpc-js is logged as a fixed text`, (t) => {
    const { written, logger } = record();
    logger.info(line, 'SECRET');
    t.is(written.length, 1);
    t.regex(String(written[0]?.[1]), text);
    t.notRegex(String(written[0]?.[1]), /SECRET/);
  });
}

test('a line of grpc-js that is not a text is left out', (t) => {
  const { written, logger } = record();
  logger.error({ SECRET: 1 });
  logger.debug();
  t.deepEqual(
    written.map(([level]) => level),
    ['error', 'debug'],
  );
  t.notRegex(JSON.stringify(written), /SECRET/);
});

test.serial('equal lines of grpc-js are written once in ten seconds, with their number', (t) => {
  const { now } = performance;
  let ms = 0;
  performance.now = () => ms;
  t.teardown(() => {
    performance.now = now;
  });
  const { written, logger } = record();
  const dropped = () => logger.error('Failed to add metadata entry a: b');
  for (let call = 0; call < 5; call++) dropped();
  logger.error('another line');
  t.deepEqual(
    written.map(([, , count]) => count),
    [1, 1],
  );
  ms = 10_001;
  dropped();
  t.is(written[2]?.[2], 5);
});

test.serial('a writer that throws has no effect on grpc-js', async (t) => {
  const logger = createGrpcLogger(() => {
    throw new Error('the log is closed');
  });
  const warned = once(process, 'warning');
  t.notThrows(() => logger.error('No address added out of total 1 resolved'));
  t.like((await warned)[0], { code: 'REPLAY_GUARD_OBSERVER_FAILED' });
});
