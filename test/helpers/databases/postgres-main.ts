// A process that keeps one Postgres up for as long as its standard input is open, so that the cluster goes
// away with whoever asked for it, however that ended. Prints {"url"} or {"error"}, one line.
import { startCluster } from './postgres-cluster.js';

const released = new Promise((resolve) => {
  process.stdin.once('close', resolve).resume();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, resolve);
});
// Nobody may be listening any more.
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
