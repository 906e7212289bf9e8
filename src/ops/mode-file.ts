import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { ModeSettings, ReplayGuard } from 'grpc-replay-guard';
import { z } from 'zod';
import { ConfigError } from '../config/config.js';
import { guardMode } from '../config/settings.js';
import type { Log } from '../platform/log.js';

/** An example: `{"server": "observe", "methods": {"/shop.order.v1.OrderService/PlaceOrder": "enforce"}}` */
const content = z.strictObject({
  server: guardMode.optional(),
  methods: z.record(z.string(), guardMode).optional(),
});

const POLL_INTERVAL_MS = 1_000;

/**
 * Sets the guard's modes from a file, now and after each change of the file. If a changed file is wrong, the error is
 * logged and the modes stay the same.
 * @returns a function that stops following the file
 * @throws ConfigError when the file cannot be read or its content is wrong
 */
export function followModeFile(path: string, guard: ReplayGuard, log: Log): () => void {
  try {
    guard.setModes(readModes(path));
  } catch (error) {
    throw new ConfigError('REPLAY_GUARD_MODE_FILE', (error as Error).message);
  }
  // `watchFile` polls the path. A mounted configuration changes by replacing a link, and a watch would miss this.
  watchFile(path, { interval: POLL_INTERVAL_MS, persistent: false }, () => {
    try {
      const modes = readModes(path);
      guard.setModes(modes);
      log.info({ modes }, 'the modes of the guard were changed');
    } catch (error) {
      log.error({ reason: (error as Error).message }, 'the mode file is wrong; the modes stay the same');
    }
  });
  return () => unwatchFile(path);
}

function readModes(path: string): ModeSettings {
  const parsed = content.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  const issue = parsed.error?.issues[0];
  if (!parsed.success) throw new Error(`${issue?.path.join('.') || path}: ${issue?.message}`);
  const { server, methods } = parsed.data;
  return { ...(server && { server }), ...(methods && { methods }) };
}
