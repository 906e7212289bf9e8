#!/usr/bin/env node
import { runProgram } from './commands.js';

// A reader such as `head` may end before it has read everything.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`the output could not be written: ${error.message}\n`);
  process.exitCode = 1;
});

void runProgram(process.argv.slice(2), process.env).then(({ code, out, err }) => {
  process.stdout.write(out);
  process.stderr.write(err);
  process.exitCode = code;
});
