import type { ModeSettings, ReplayGuard } from 'grpc-replay-guard';
import { z } from 'zod';
import { guardMode } from '../config/settings.js';
import type { FollowedFiles } from '../platform/followed-files.js';
import type { Log } from '../platform/log.js';

/** An example: `{"server": "observe", "methods": {"/shop.order.v1.OrderService/PlaceOrder": "enforce"}}` */
const content = z.strictObject({
  server: guardMode.optional(),
  methods: z.record(z.string(), guardMode).optional(),
});

/**
 * Sets the guard's modes from a file, now and after each change of the file. If a changed file is wrong, the error is
 * logged and the modes stay the same.
 * @throws ConfigError when the file cannot be read or its content is wrong
 */
export function followModeFile(path: string, guard: ReplayGuard, followed: FollowedFiles, log: Log): void {
  followed.follow({
    files: [{ setting: 'REPLAY_GUARD_MODE_FILE', path }],
    parse: (file) => {
      const modes = modesOf(jsonOf(file));
      guard.setModes(modes);
      return modes;
    },
    renew: (modes) => log.info({ modes }, 'the modes of the guard were changed'),
  });
}

function jsonOf(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString());
  } catch {
    // The message of the parser would quote a part of the file.
    throw new Error('the file is not JSON');
  }
}

function modesOf(file: unknown): ModeSettings {
  const parsed = content.safeParse(file);
  const issue = parsed.error?.issues[0];
  if (!parsed.success) throw new Error(`${issue?.path.join('.') || 'the content'}: ${issue?.message}`);
  const { server, methods } = parsed.data;
  return { ...(server && { server }), ...(methods && { methods }) };
}
