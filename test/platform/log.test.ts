import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

/** Logs errors that quote a text, in every way in which pino takes an error. */
const program = `
const { createLog } = await import(process.argv[1]);
const log = createLog('trace');
const error = Object.assign(new Error('SECRET'), { code: '23505', severity: 'ERROR', detail: 'SECRET', table: 'notes' });
log.error({ err: error }, 'under its name');
log.error({ other: error, count: 1 }, 'under another name');
log.error(error);
log.error(error, 'with a text');
log.child({ part: 'p' }).error({ err: error }, 'in a child');
log.error({ err: 'SECRET' }, 'a thrown text');
log.info('only a text');
log.info({ err: undefined }, 'no error');
`;

test('an error is described in every way in which it is logged', async (t) => {
  const log = new URL('../../platform/log.js', import.meta.url).href;
  const args = ['--input-type=module', '--eval', program, log];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  t.notRegex(stdout, /SECRET/);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const error = { type: 'Error', code: '23505', names: { severity: 'ERROR', table: 'notes' } };
  t.false('err' in lines[7]);
  t.like(lines, [
    { msg: 'under its name', err: error },
    { msg: 'under another name', other: error, count: 1 },
    { msg: 'an error', err: error },
    { msg: 'with a text', err: error },
    { msg: 'in a child', part: 'p', err: error },
    { msg: 'a thrown text', err: { type: 'string' } },
    { msg: 'only a text' },
    { msg: 'no error' },
  ]);
});
