/** Makes a google.protobuf.Timestamp from milliseconds since the epoch. */
export function timestamp(epochMs: bigint): { seconds: string; nanos: number } {
  return { seconds: String(epochMs / 1000n), nanos: Number(epochMs % 1000n) * 1_000_000 };
}
