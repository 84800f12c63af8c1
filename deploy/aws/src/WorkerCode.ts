/**
 * What the farm's function runs: a container image, which brings its renderer, or a zip of the handler alone.
 *
 * Images are built and pushed before a deployment, so that synthesis needs no Docker.
 */
import type { IRepository } from "aws-cdk-lib/aws-ecr"
import { Code, type CodeConfig, Handler, type ILayerVersion, Runtime } from "aws-cdk-lib/aws-lambda"

/** What the function runs, and what runs it. */
export interface WorkerCode {
  readonly code: Code
  readonly handler: string
  readonly runtime: Runtime
  readonly layers?: Array<ILayerVersion>
}

/** An image that is in a registry already, whoever owns that. */
class PushedImage extends Code {
  readonly isInline = false
  readonly #uri: string

  constructor(uri: string) {
    super()
    this.#uri = uri
  }

  bind(): CodeConfig {
    return { image: { imageUri: this.#uri } }
  }
}

const image = (code: Code): WorkerCode => ({ code, handler: Handler.FROM_IMAGE, runtime: Runtime.FROM_IMAGE })

/**
 * The image with this URI: `123456789012.dkr.ecr.eu-central-1.amazonaws.com/render@sha256:…`. It must be in the region
 * of the function; a digest makes sure which one is meant.
 */
export const imageUri = (uri: string): WorkerCode => image(new PushedImage(uri))

/** The image with this tag or digest in a repository that the stack knows. */
export const ecrImage = (repository: IRepository, tagOrDigest: string): WorkerCode =>
  image(Code.fromEcrImage(repository, { tagOrDigest }))

/**
 * A zip or a folder, such as those that `write-zip.ts` makes, on Lambda's own Node.js.
 *
 * It has no renderer and no ffmpeg: those come from layers. Handler, its dependencies and all layers together have
 * 250 MB at most, unpacked.
 */
export const zip = (path: string, layers?: Array<ILayerVersion>): WorkerCode => ({
  code: Code.fromAsset(path),
  handler: "handler.handler",
  runtime: Runtime.NODEJS_24_X,
  ...(layers === undefined ? undefined : { layers })
})
