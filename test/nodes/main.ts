// `npm run test:nodes`: the packed library in each Node from npm. `--help` names the options. A version that cannot be
// installed is named as not run. It is a failure only if npm serves it: otherwise the network or the platform is the cause.
import { optionsOrExit } from '../../bench/options-or-exit.js';
import { packLibrary } from '../examples/installed.js';
import { FULL_BY_DEFAULT, readOptions, usage } from './options.js';
import { isServed, type NodeProject, openProject, whyNot } from './project.js';
import { filesOf } from './suites.js';

const options = optionsOrExit(readOptions, usage);
const summary: string[] = [];

/** Runs the suites in one version of Node. Resolves to whether they passed. */
async function testIn(tarball: string, major: number): Promise<boolean> {
  const isFull = options.full || major === FULL_BY_DEFAULT;
  const reason = whyNot(major);
  const project = reason === undefined ? await openProject(tarball, major).catch(reasonOf) : reason;
  if (typeof project === 'string') {
    summary.push(`Node ${major} did not run: ${project}`);
    return reason !== undefined || !(await isServed(major));
  }
  return runSuites(project, isFull);
}

/** npm's other messages name hosts and folders. */
function reasonOf(error: Error): string {
  return /^npm \S+ code \S+$/m.exec(error.message)?.[0] ?? (error.message.split('\n')[0] as string);
}

async function runSuites(project: NodeProject, isFull: boolean): Promise<boolean> {
  const title = `${project.versions}, ${isFull ? 'in full' : 'in short'}`;
  console.log(`== ${title}`);
  const start = performance.now();
  try {
    const code = await project.test(filesOf(isFull));
    const seconds = Math.round((performance.now() - start) / 1_000);
    summary.push(`${title}: ${code === 0 ? 'passed' : 'failed'} after ${seconds} s`);
    return code === 0;
  } finally {
    await project.remove();
  }
}

const ends: (() => unknown)[] = [];
try {
  const tarball = await packLibrary({ teardown: (end) => ends.push(end) });
  // One after the other: the suites use all cores.
  for (const major of options.majors) if (!(await testIn(tarball, major))) process.exitCode = 1;
} finally {
  for (const end of ends) await end();
  for (const line of summary) console.log(`== ${line}`);
}
