/** The size of something after a number of calls. */
export interface Sample {
  readonly calls: number;
  readonly bytes: number;
}

/** How much growth is not a leak. */
export interface GrowthBound {
  /** What caches, compiled code and fragments may add, however few the calls are. */
  readonly bytes: number;
  readonly bytesPerCall: number;
}

/** The growth over the second half of some samples. The first half fills caches. */
export interface Growth {
  readonly bytesPerMillion: number;
  readonly allowedPerMillion: number;
  readonly isFlat: boolean;
}

/** Returns the slope of the line through the second half of the samples that has the smallest squared distances. */
export function growthOf(samples: readonly Sample[], bound: GrowthBound): Growth {
  const half = samples.slice(Math.floor(samples.length / 2));
  const [meanCalls, meanBytes] = [
    meanOf(half.map(({ calls }) => calls)),
    meanOf(half.map(({ bytes }) => bytes)),
  ];
  const covariance = half.reduce(
    (sum, { calls, bytes }) => sum + (calls - meanCalls) * (bytes - meanBytes),
    0,
  );
  const variance = half.reduce((sum, { calls }) => sum + (calls - meanCalls) ** 2, 0);
  const bytesPerCall = covariance / variance;
  const calls = (half.at(-1)?.calls ?? 0) - (half[0]?.calls ?? 0);
  const allowedPerCall = bound.bytes / calls + bound.bytesPerCall;
  return {
    bytesPerMillion: bytesPerCall * 1_000_000,
    allowedPerMillion: allowedPerCall * 1_000_000,
    isFlat: bytesPerCall <= allowedPerCall,
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
