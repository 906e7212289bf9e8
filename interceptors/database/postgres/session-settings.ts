import type { Row } from '../database.js';
import type { Statement } from '../engine.js';

/**
 * Sets what the library needs of the session, until the end of the transaction. The role or the database may have set it
 * otherwise. The application that shares the connection keeps its own values.
 *
 * - `client_min_messages`: a warning says that a COMMIT has not waited for its synchronous standby.
 * - `extra_float_digits`: a floating-point number is sent with all its digits.
 *
 * The row tells whether the session itself has other values, read before they are set.
 */
export const setForTransaction: Statement = {
  text: `
    SELECT differs, set_config('client_min_messages', 'notice', true), set_config('extra_float_digits', '3', true)
    FROM (
      SELECT current_setting('client_min_messages') IN ('error', 'fatal', 'panic')
        OR CAST(current_setting('extra_float_digits') AS INTEGER) < 1 AS differs
      OFFSET 0
    ) AS session`,
  params: [],
};

/** Returns whether the session has other values, so that each of its transactions must set them. */
export function differs([row]: readonly Row[]): boolean {
  return (row?.differs as unknown) === true;
}
