export * as CloudRunAdapter from "./CloudRunAdapter.ts"
export * as CloudRunPlugin from "./CloudRunPlugin.ts"
