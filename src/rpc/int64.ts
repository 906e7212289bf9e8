/** The largest value of an int64 field, and of a BIGINT column. */
export const MAX_INT64 = 2n ** 63n - 1n;
