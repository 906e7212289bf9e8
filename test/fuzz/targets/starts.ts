import { freshFolder } from '../../helpers/databases/engines.js';
import { ServerProcess } from '../../helpers/processes/shop-process.js';
import { CleanUp } from '../clean-up.js';
import { type Environment, environments, SECRETS } from '../inputs/environments.js';
import { must, type Target } from '../target.js';
import { assertOneLine } from './settings.js';

/** How long a start may take before it counts as running, in milliseconds. */
const START_MS = 10_000;

/** The start of the shop as a process of its own, with hostile settings. */
export const startsTarget: Target<Environment> = {
  title: 'starts of the shop as a process',
  inputs: environments,
  requires: ['refused'],
  planted: 'the process ends with the stack of its error',
  open(_t, { planted, count }) {
    return {
      async check(environment) {
        const cleanUp = new CleanUp();
        try {
          const folder = await freshFolder(cleanUp);
          // No variable of a process can contain a NUL, and only plain paths stay inside of the folder.
          const given = Object.entries(environment).filter((entry) => !entry.join('').includes('\0'));
          const env: Record<string, string> = {
            ...Object.fromEntries(given),
            ...(planted && { NODE_OPTIONS: '--bad' }),
          };
          if (!env.DATABASE_URL?.startsWith('postgres')) env.DATABASE_URL = `sqlite:${folder}/shop.db`;
          const server = new ServerProcess(cleanUp, env);
          const timer = setTimeout(() => server.signal('SIGKILL'), START_MS);
          const ending = await Promise.race([
            server.exited,
            server.logged('serving').catch(() => server.exited),
          ]);
          clearTimeout(timer);
          const texts = server.log.map((line) => JSON.stringify(line));
          for (const secret of Object.values(SECRETS))
            must(!texts.some((text) => text.includes(secret.slice(0, 16))), `a secret was printed: ${texts}`);
          if (!('code' in ending)) return count('serving');
          must(
            ending.code === 1 || ending.signal === 'SIGKILL',
            `the process ended with ${JSON.stringify(ending)}`,
          );
          if (ending.signal) return count('still starting');
          const last = String(server.log.at(-1)?.msg);
          must(
            server.log.every(({ msg }) => !/^\s+at /.test(String(msg))),
            `a stack was printed: ${texts}`,
          );
          assertOneLine(last, environment);
          count('refused');
        } finally {
          await cleanUp.run();
        }
      },
    };
  },
};
