import { ConfigError, misspeltSettings, readConfig } from '#src/config/config.js';
import { type Environment, environments, SECRETS, validEnvironments } from '../inputs/environments.js';
import { must, type Target } from '../target.js';

/** The settings of the shop, read in this process. */
export const settingsTarget: Target<Environment> = {
  title: 'settings of the shop',
  inputs: environments,
  quickRuns: 1_500,
  requires: ['accepted', 'refused'],
  planted: 'the message about a wrong setting quotes its value',
  open(_t, { planted, count }) {
    for (const environment of validEnvironments) readConfig(environment);
    const read = planted ? quotingConfig : readConfig;
    return {
      check(environment) {
        try {
          misspeltSettings(environment);
          read(environment);
          count('accepted');
        } catch (error) {
          must(error instanceof ConfigError, `the start fails with ${String(error)}`);
          assertOneLine(error.message, environment);
          count('refused');
        }
      },
    };
  },
};

/** Throws if a message is not one line that names a setting, or if it has a part of a secret. */
export function assertOneLine(message: string, environment: Environment): void {
  must(!/[\r\n]/.test(message), `the message has several lines: ${message}`);
  const given = Object.keys(environment).map((name) => name.replaceAll(/\s+/g, ' '));
  const isNamed = /^[A-Z][A-Z_]+: \S/.test(message) || given.some((name) => message.startsWith(`${name}: `));
  must(isNamed, `the message names no setting: ${message}`);
  for (const secret of Object.values(SECRETS))
    must(!message.includes(secret.slice(0, 16)), `the message has a secret: ${message}`);
}

function quotingConfig(environment: Environment) {
  try {
    return readConfig(environment);
  } catch (error) {
    const [name = ''] = (error as Error).message.split(':');
    throw new ConfigError(name, `the value ${environment[name]} is wrong`);
  }
}
