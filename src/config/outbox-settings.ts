import { assertWebhookSecret, assertWebhookUrl } from 'grpc-replay-guard/outbox/webhook';
import { z } from 'zod';
import { duration } from './settings.js';

/** Text that passes an assertion. Only the assertion's message is reported: the value may be a secret. */
function asserted(assert: (text: string) => void) {
  return z.string().superRefine((text, context) => {
    try {
      assert(text);
    } catch (error) {
      context.addIssue((error as Error).message);
    }
  });
}

/** The secret of a webhook, in the form that the Standard Webhooks specification defines. */
export const webhookSecret = asserted(assertWebhookSecret);

/** The settings of the outbox and its relay. */
export const outboxSettings = {
  WEBHOOK_URL: asserted(assertWebhookUrl).optional(),
  WEBHOOK_SECRET: webhookSecret.optional(),
  OUTBOX_RELAY: z
    .enum(['on', 'off'], { error: 'must be on or off' })
    .transform((choice) => choice === 'on')
    .prefault('on'),
  OUTBOX_MAX_ATTEMPTS: z
    .string()
    .regex(/^[1-9]\d{0,5}$/, { error: 'must be a whole number from 1 to 999999' })
    .transform(Number)
    .prefault('100'),
  OUTBOX_RETENTION: duration.prefault('24h'),
};

const schema = z.object(outboxSettings);

/** The settings of the outbox and its relay, in the form that the shop uses. */
export interface OutboxConfig {
  /** A second destination of the events, besides the inventory. */
  readonly webhook: { readonly url: string; readonly secret: string } | undefined;
  /** Whether this server delivers events. If not, other servers on the same database deliver them. */
  readonly relay: boolean;
  /** The number of failed attempts after which an event becomes a dead letter. */
  readonly maxAttempts: number;
  /** How long delivered events are kept, in milliseconds. */
  readonly retentionMs: number;
}

/** Makes the outbox configuration from the settings. */
export function toOutboxConfig(s: z.output<typeof schema>): OutboxConfig {
  const { WEBHOOK_URL: url, WEBHOOK_SECRET: secret } = s;
  return {
    webhook: url && secret ? { url, secret } : undefined,
    relay: s.OUTBOX_RELAY,
    maxAttempts: s.OUTBOX_MAX_ATTEMPTS,
    retentionMs: s.OUTBOX_RETENTION,
  };
}
