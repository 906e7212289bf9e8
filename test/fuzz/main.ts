// `npm run fuzz`: hostile inputs for the parts that callers reach, judged after each input. `--help` names the options.
import { writeFileSync } from 'node:fs';
import { optionsOrExit } from '../../bench/options-or-exit.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { readOptions, usage } from './options.js';
import { runAll } from './run-all.js';
import { runPlanted } from './run-planted.js';

const options = optionsOrExit(readOptions, usage);
const log = (line: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);
const cluster = await startCluster();
try {
  const { text, isProof } = await (options.planted ? runPlanted : runAll)(options, cluster.url, log);
  console.log(text);
  if (options.report !== undefined) writeFileSync(options.report, `${text}\n`);
  process.exitCode = isProof ? 0 : 1;
} finally {
  await cluster.stop();
}
process.exit();
