/**
 * The absolute path of the folder that contains `replayguard/v1/policy.proto`: for `includeDirs` of `@grpc/proto-loader`, and
 * for `-I` of protoc.
 */
export declare const includeDir: string;
