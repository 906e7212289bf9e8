import { setLogger } from '@grpc/grpc-js';
import { ConfigError, readConfig } from './config/config.js';
import { welcome } from './ops/welcome.js';
import { createLog, type Log } from './platform/log.js';
import { startShop } from './shop.js';

/** How long a stop may take beyond the grace time of the calls, in milliseconds. */
const STOP_MARGIN_MS = 10_000;
/** Signals that come closer together than this are one: at Ctrl-C both the terminal and npm send one. */
const SAME_SIGNAL_MS = 500;

const running = new AbortController();

await run().catch((error) => {
  if (running.signal.aborted && error.name === 'AbortError') process.exit(0);
  // A wrong setting is for the operator to mend: one line says what it is, a stack would only hide it.
  process.stderr.write(`${error instanceof ConfigError ? error.message : error.stack}\n`);
  process.exit(1);
});

async function run(): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  logFailures(log);
  const stopped = signalled(log);
  const shop = await startShop(config, log, running.signal);
  log.info({ grpc: shop.grpc, ops: shop.ops, services: [...config.services] }, 'serving');
  // For people, so not as JSON; on stderr, so that stdout holds log lines only.
  process.stderr.write(welcome(config, shop.grpc, shop.ops));
  await stopped;
  setTimeout(() => abandon(log), config.shutdownGraceMs + STOP_MARGIN_MS).unref();
  await shop.stop();
  log.info('stopped');
  process.exit(0);
}

/** Resolves at the first signal to stop; the second ends the process at once. */
function signalled(log: Log): Promise<void> {
  let firstAt: number | undefined;
  return new Promise((resolve) => {
    const onSignal = (signal: NodeJS.Signals) => {
      if (firstAt !== undefined && performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(1);
      if (firstAt !== undefined) return;
      firstAt = performance.now();
      log.info({ signal }, 'stopping');
      running.abort();
      resolve();
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal);
  });
}

function abandon(log: Log): never {
  log.fatal('the stop took too long and was cut short');
  process.exit(1);
}

function logFailures(log: Log): void {
  // An unhandled rejection ends up here too. Listening for it would end the process at rejections that the
  // guard turns into replies.
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(1);
  });
  const lines = (level: 'error' | 'info' | 'debug') => (message: unknown) => log[level](`grpc: ${message}`);
  setLogger({ error: lines('error'), info: lines('info'), debug: lines('debug') });
}
