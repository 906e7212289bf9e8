import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import test from 'ava';
import { BodyError, readBody } from '#src/warehouse/request-body.js';

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
