import { ConfigError, misspeltSettings, readConfig } from './config/config.js';
import { welcome } from './ops/welcome.js';
import { createLog, type Log, logLibraries } from './platform/log.js';
import { type Shop, startShop } from './shop.js';

/** How long a stop may take after the grace time of the calls, in milliseconds. */
const STOP_MARGIN_MS = 10_000;
/** Signals within this interval count as one signal: at Ctrl-C the terminal and npm both send a signal. */
const SAME_SIGNAL_MS = 500;

/** Whether SIGHUP means that the terminal has closed. Without a terminal SIGHUP means that files were renewed. */
const isInTerminal = process.stdin.isTTY === true;

const running = new AbortController();

await run().catch((error) => {
  if (running.signal.aborted && error.name === 'AbortError') process.exit(0);
  // The operator needs only the one line of a ConfigError. A stack would hide this line.
  process.stderr.write(`${error instanceof ConfigError ? error.message : error.stack}\n`);
  process.exit(1);
});

async function run(): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  logFailures(log);
  logLibraries(log);
  for (const { name, nearest } of misspeltSettings(process.env)) {
    log.warn(`the variable ${name} is not a setting; did you mean ${nearest}?`);
  }
  const signalled = stopSignal(log);
  let shop: Shop | undefined;
  process.on('SIGHUP', () => {
    if (isInTerminal || running.signal.aborted) return;
    log.info('SIGHUP: the files that settings name are checked');
    void shop?.checkFiles();
  });
  shop = await startShop(config, log, running.signal);
  log.info({ grpc: shop.grpc, ops: shop.ops, services: [...config.services] }, 'serving');
  // This text is for people. It goes to stderr, because stdout has only JSON lines.
  process.stderr.write(welcome(config, shop.grpc, shop.ops));
  await signalled;
  setTimeout(() => abandon(log), config.shutdownGraceMs + STOP_MARGIN_MS).unref();
  await shop.stop();
  log.info('stopped');
  process.exit(0);
}

/** Resolves at the first stop signal. A second signal ends the process immediately. */
function stopSignal(log: Log): Promise<void> {
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
    if (isInTerminal) process.on('SIGHUP', onSignal);
  });
}

function abandon(log: Log): never {
  log.fatal('the stop took too long; the process ends now');
  process.exit(1);
}

function logFailures(log: Log): void {
  // Node also reports an unhandled rejection here. The guard turns the rejections of its handlers into replies.
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(1);
  });
}
