/** What Cloud Run takes of a service's manifest, as far as ours uses it: anything else is no manifest of ours. */
import { Schema } from "effect"

const Seconds = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most }))

const Probe = (most: number) =>
  Schema.Struct({
    httpGet: Schema.Struct({ path: Schema.String, port: Schema.Int }),
    periodSeconds: Seconds(most),
    timeoutSeconds: Seconds(3600),
    failureThreshold: Schema.Int
  })

const Container = Schema.Struct({
  name: Schema.String,
  image: Schema.String,
  ports: Schema.Tuple([Schema.Struct({ name: Schema.Literals(["http1", "h2c"]), containerPort: Schema.Int })]),
  env: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })),
  resources: Schema.Struct({ limits: Schema.Struct({ cpu: Schema.String, memory: Schema.String }) }),
  volumeMounts: Schema.Tuple([Schema.Struct({ name: Schema.String, mountPath: Schema.String })]),
  startupProbe: Probe(240),
  livenessProbe: Probe(3600)
})

// The values of annotations and labels are texts: a bare true, or a number, is refused.
const Service = Schema.Struct({
  apiVersion: Schema.Literal("serving.knative.dev/v1"),
  kind: Schema.Literal("Service"),
  metadata: Schema.Struct({
    name: Schema.String,
    labels: Schema.Struct({ "cloud.googleapis.com/location": Schema.String }),
    annotations: Schema.Struct({
      "run.googleapis.com/description": Schema.String,
      "run.googleapis.com/ingress": Schema.Literals(["all", "internal", "internal-and-cloud-load-balancing"]),
      "run.googleapis.com/invoker-iam-disabled": Schema.Literals(["true", "false"])
    })
  }),
  spec: Schema.Struct({
    template: Schema.Struct({
      metadata: Schema.Struct({
        annotations: Schema.Struct({
          "autoscaling.knative.dev/minScale": Schema.String,
          "autoscaling.knative.dev/maxScale": Schema.String,
          "run.googleapis.com/execution-environment": Schema.Literals(["gen1", "gen2"]),
          "run.googleapis.com/cpu-throttling": Schema.Literals(["true", "false"]),
          "run.googleapis.com/startup-cpu-boost": Schema.Literals(["true", "false"])
        })
      }),
      spec: Schema.Struct({
        serviceAccountName: Schema.String,
        containerConcurrency: Schema.Int,
        timeoutSeconds: Seconds(3600),
        containers: Schema.Tuple([Container]),
        volumes: Schema.Tuple([
          Schema.Struct({
            name: Schema.String,
            emptyDir: Schema.Struct({ medium: Schema.Literal("Memory"), sizeLimit: Schema.String })
          })
        ])
      })
    }),
    traffic: Schema.Tuple([Schema.Struct({ latestRevision: Schema.Literal(true), percent: Schema.Literal(100) })])
  })
})

/** Reads a manifest. */
export const decode = (manifest: unknown): typeof Service.Type =>
  Schema.decodeUnknownSync(Service)(manifest, { onExcessProperty: "error" })
