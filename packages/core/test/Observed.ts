/** What is logged and counted, as lines that a test can compare. */
import { Cause, Effect, Logger, Metric, References } from "effect"

/** Everything that an effect logs, a line each, however it ends. */
export const logged = <A, E>(effect: Effect.Effect<A, E>, level: "Debug" | "Info" = "Info") =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ cause, fiber, logLevel, message }) => {
      const why = cause.reasons.length === 0 ? [] : [Cause.pretty(cause).split("\n")[0]]
      const annotations = Object.entries(fiber.getRef(References.CurrentLogAnnotations))
      lines.push(
        [
          logLevel,
          [message, why].flat().map(String).join(": "),
          ...annotations.map(([key, value]) => `${key}=${String(value)}`)
        ].join(" ")
      )
    })
    yield* Effect.exit(effect).pipe(
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(References.MinimumLogLevel, level)
    )
    return lines
  })

/** Every metric that an effect leaves, a line each, with its attributes and its count or value. */
export const metricsOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    yield* Effect.exit(effect)
    const all = yield* Metric.snapshot
    return all.map(({ attributes = {}, id, state }) => {
      const value = "count" in state ? state.count : "value" in state ? state.value : undefined
      const of = Object.entries(attributes).map(([key, text]) => `${key}=${text}`)
      return `${id}{${of.toSorted().join(",")}} ${value}`
    })
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
