import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { BodyError, readBody } from '#src/warehouse/request-body.js';
import { poll } from '../helpers/waiting/poll.js';

setFlagsFromString('--expose_gc');
const collectGarbage: () => void = runInNewContext('gc');

test('a body that takes too long fails with 408', async (t) => {
  const server = createServer(async (request, response) => {
    const error = await readBody(request, 1_000, 1).catch((error: BodyError) => error);
    response.writeHead(error instanceof BodyError ? error.status : 200).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.teardown(() => {
    socket.destroy();
  });
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n');
  const [answer] = await once(socket, 'data');
  t.regex(String(answer), /^HTTP\/1\.1 408 /);
});

test.serial('a body in chunks of one byte holds no more memory than its limit', async (t) => {
  const maxBytes = 64 * 1024;
  let received = 0;
  const server = createServer(async (request, response) => {
    request.on('data', ({ length }: Buffer) => {
      received += length;
    });
    const body = await readBody(request, maxBytes, 60_000);
    response.end(String(body.equals(Buffer.alloc(maxBytes, 'x'))));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
    socket.destroy();
  });
  const held = () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = held();
  socket.write('POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n');
  socket.write('1\r\nx\r\n'.repeat(maxBytes));
  await poll('the whole body has arrived', () => received === maxBytes);
  const grown = held() - before;
  t.true(grown < 2_000_000, `${grown} bytes`);
  socket.write('0\r\n\r\n');
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  t.regex(answer, /true/);
});
