/**
 * Log entries as Google's logging reads them from what a container prints: one JSON object per line, with its severity,
 * with the job, the chunk and the attempt as labels, and beside the request's other entries by its trace.
 */
import * as Formatter from "effect/Formatter"
import * as Logger from "effect/Logger"

/** What annotations are labels, by which entries are found. */
const labels = ["job", "chunk", "run", "attempt"]

const severities: Readonly<Record<string, string>> = {
  TRACE: "DEBUG",
  DEBUG: "DEBUG",
  INFO: "INFO",
  WARN: "WARNING",
  ERROR: "ERROR",
  FATAL: "CRITICAL"
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : Formatter.formatJson(value))

/** A logger that gives lines, without their breaks. Without a project's id, entries are not beside those of the request. */
export const make = (projectId: string | undefined): Logger.Logger<unknown, string> =>
  Logger.map(Logger.formatStructured, ({ annotations, cause, level, message, timestamp }) => {
    const { sampled, spanId, traceId, ...others } = annotations
    const labelled = labels.flatMap((name) =>
      others[name] === undefined ? [] : [[name, textOf(others[name])] as const]
    )
    const text = textOf(message)
    return Formatter.formatJson({
      ...Object.fromEntries(Object.entries(others).filter(([name]) => !labels.includes(name))),
      severity: severities[level] ?? "DEFAULT",
      message: cause === undefined ? text : `${text}\n${cause}`,
      time: timestamp,
      ...(labelled.length === 0 ? undefined : { "logging.googleapis.com/labels": Object.fromEntries(labelled) }),
      ...(traceId === undefined || projectId === undefined
        ? undefined
        : {
            "logging.googleapis.com/trace": `projects/${projectId}/traces/${textOf(traceId)}`,
            ...(spanId === undefined ? undefined : { "logging.googleapis.com/spanId": spanId }),
            "logging.googleapis.com/trace_sampled": sampled === true
          })
    })
  })
