// `npm run adversary`: servers under load and faults, judged after each round. `--help` names the options.
import { writeFileSync } from 'node:fs';
import { optionsOrExit } from '../../bench/options-or-exit.js';
import { inspectMachine } from './machine.js';
import { readOptions, usage } from './options.js';
import { runFaults } from './run-faults.js';
import { runPlanted } from './run-planted.js';

const options = optionsOrExit(readOptions, usage);
const machine = inspectMachine();
const log = (line: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);
const { text, isProof } = await (options.planted ? runPlanted : runFaults)(options, machine, log);
console.log(text);
if (options.report !== undefined) writeFileSync(options.report, `${text}\n`);
process.exit(isProof ? 0 : 1);
