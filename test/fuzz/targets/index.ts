import type { Target } from '../target.js';
import { identitiesTarget } from './identities.js';
import { metadataTarget } from './metadata.js';
import { operationsTarget } from './operations.js';
import { repliesTarget } from './replies.js';
import { requestTarget } from './request.js';
import { requestWorkTarget } from './request-work.js';
import { sequencesTarget } from './sequences.js';
import { settingsTarget } from './settings.js';
import { startsTarget } from './starts.js';
import { statementsTarget } from './statements.js';
import { postgresStatementsTarget } from './statements-postgres.js';
import { timesTarget } from './times.js';
import { tokensTarget } from './tokens.js';
import { webhooksTarget } from './webhooks.js';

/** Every target of the fuzzing, by the name that the command uses. */
export const targets: Readonly<Record<string, Target>> = {
  request: requestTarget,
  'request-work': requestWorkTarget,
  times: timesTarget,
  statements: statementsTarget,
  'postgres-statements': postgresStatementsTarget,
  settings: settingsTarget,
  starts: startsTarget,
  tokens: tokensTarget,
  identities: identitiesTarget,
  metadata: metadataTarget,
  replies: repliesTarget,
  sequences: sequencesTarget,
  webhooks: webhooksTarget,
  operations: operationsTarget,
};
