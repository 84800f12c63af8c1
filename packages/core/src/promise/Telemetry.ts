/**
 * Where spans, metrics and log entries go, for the classes of the Promise API: an opaque thing that `telemetry` of
 * `@helios-infra/core/PromiseBacking` makes. One can serve any number of managers, executors and workers.
 */

/** Where spans, metrics and log entries go. */
export class Telemetry {
  readonly #close: () => Promise<void>

  /** For `PromiseBacking`. */
  constructor(close: () => Promise<void>) {
    this.#close = close
  }

  /** Sends what is still to be sent, and lets go of the connections. For when no job runs any more. */
  close(): Promise<void> {
    return this.#close()
  }
}
