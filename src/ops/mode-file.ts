import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { ModeSettings, ReplayGuard } from 'grpc-replay-guard';
import { z } from 'zod';
import { ConfigError } from '../config/config.js';
import { guardMode } from '../config/settings.js';
import type { Log } from '../platform/log.js';

/** `{"server": "observe", "methods": {"/shop.order.v1.OrderService/PlaceOrder": "enforce"}}` */
const content = z.strictObject({
  server: guardMode.optional(),
  methods: z.record(z.string(), guardMode).optional(),
});

const LOOK_MS = 1_000;

/**
 * Keeps the guard's modes as a file says, from now on and whenever the file changes. What is wrong with a
 * changed file is logged, and the modes stay as they were.
 * @returns a function that ends it
 * @throws ConfigError the file cannot be read, or is wrong
 */
export function followModeFile(path: string, guard: ReplayGuard, log: Log): () => void {
  try {
    guard.setModes(readModes(path));
  } catch (error) {
    throw new ConfigError('REPLAY_GUARD_MODE_FILE', (error as Error).message);
  }
  // Looked at by its path each time: a mounted configuration is changed by swapping a link.
  watchFile(path, { interval: LOOK_MS, persistent: false }, () => {
    try {
      const modes = readModes(path);
      guard.setModes(modes);
      log.info({ modes }, 'the modes of the guard were changed');
    } catch (error) {
      log.error({ reason: (error as Error).message }, 'the mode file is wrong; the modes stay as they were');
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
