import { join } from 'node:path';
import test from 'ava';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { callByHttp2, connectHttp2 } from '../helpers/calls/http2-call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';

/** A module that Node loads before the shop. At the signal SIGUSR2 it emits a warning that quotes a text. */
const warning = `data:text/javascript,process.on('SIGUSR2',()=>process.emitWarning('OF-A-CUSTOMER',{code:'DEP9999'}))`;

test('the shop logs neither entries that grpc-js drops nor its traces, and refuses a malformed key', async (t) => {
  const shop = new ServerProcess(t, {
    DATABASE_URL: `sqlite:${join(await freshFolder(t), 'shop.db')}`,
    ...{ LOG_LEVEL: 'trace', GRPC_VERBOSITY: 'DEBUG', GRPC_TRACE: 'all' },
    NODE_OPTIONS: `--import ${warning}`,
  });
  const session = connectHttp2(t, `http://${await shop.grpcAddress()}`);
  const entries = {
    ...{ authorization: 'Bearer\teyJ.TOKEN-OF-A-CUSTOMER.c2ln', 'x-id': 'ID-OF-A-CUSTOMER' },
    'idempotency-key': 'KEY-OF-A-CUSTOMER-\u00e9',
  };
  for (const { path } of [orderService.PlaceOrder, inventoryService.PutItem])
    t.like(await callByHttp2(session, path, entries), { code: 3, reason: 'IDEMPOTENCY_KEY_INVALID' });
  await callByHttp2(session, `/nowhere/${'PATH-OF-A-CUSTOMER'}`, entries);
  await callByHttp2(session, inventoryService.GetItem.path, { ...entries, 'grpc-timeout': 'OF-A-CUSTOMER' });
  await shop.logged('grpc: a metadata entry with illegal characters was dropped');
  await shop.logged('grpc: a trace line was left out, because it may quote a call');
  shop.signal('SIGUSR2');
  t.like(await shop.logged('a warning of Node'), { type: 'Warning', code: 'DEP9999' });
  await shop.stop();
  t.notRegex(JSON.stringify(shop.log), /OF-A-CUSTOMER/);
});
