/**
 * The maximum time between one lease from now and the end of a lease, in milliseconds. In normal operation clocks are
 * set back by less.
 */
export const MAX_LEASE_AHEAD_MS = 5_000;

/** How many leases from now a lease may end at most. A server with another policy may use a longer lease. */
export const MAX_LEASES_AHEAD = 10;

/**
 * Whether the lease of an execution has run out. If the lease ends more than one lease and 5 s from now, there are two
 * possible causes. The store's clock was set back after the claim: the lease then counts as run out, because otherwise a
 * crashed execution would keep its key until the clock has caught up. Or the claim was made by a server with a longer
 * lease, for example during a deployment: the lease is then valid. The clock was set back if the claim is in the future,
 * or if the lease ends more than 10 leases from now. After a takeover the fence refuses the commit of an execution that
 * still runs.
 * @param execution the time since its claim, and the time until the end of its lease, by the store's clock, in milliseconds
 * @param leaseMs the length of a lease of the caller, in milliseconds
 */
export function hasRunOut(
  { ageMs, leaseLeftMs }: { readonly ageMs: number; readonly leaseLeftMs: number },
  leaseMs: number,
): boolean {
  if (leaseLeftMs <= 0) return true;
  if (leaseLeftMs <= leaseMs + MAX_LEASE_AHEAD_MS) return false;
  return ageMs < 0 || leaseLeftMs > MAX_LEASES_AHEAD * leaseMs;
}
