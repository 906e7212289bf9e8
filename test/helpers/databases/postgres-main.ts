// A process that runs one Postgres while its standard input is open. So Postgres stops when the parent process ends
// for any reason.  Prints {"url"} or {"error"} in one line.
import { startCluster } from './postgres-cluster.js';

const released = new Promise((resolve) => {
  process.stdin.once('close', resolve).resume();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, resolve);
});
// The parent process may have ended, so a write may fail.
process.stdout.on('error', () => {});

try {
  const cluster = await startCluster();
  process.stdout.write(`${JSON.stringify({ url: cluster.url })}\n`);
  await released;
  await cluster.stop();
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
  process.exitCode = 1;
}
process.stdin.destroy();
