/**
 * The options of the plugins of `@helios-infra`, beside their `type`, as configurations write them. What reads them are the
 * schemas of the packages; this is generated from those (`pnpm --filter @helios-infra/config generate`), so that they are
 * checked in code before a package is installed.
 */

/** By kind and type. */
export interface FirstPartyOptions {
  readonly worker: {
    readonly local: {
      /** The folder for jobs that do not name theirs. Default: the current one. */
      readonly cwd?: string
      /** The environment variables that pass to commands; a trailing * stands for any ending. Default: what programs need to run at all, and no secret. */
      readonly allowedEnvironment?: ReadonlyArray<string>
      /** Variables that every command gets beside those; the job's own go first. */
      readonly env?: Readonly<Record<string, string>>
      /** How long a command has between TERM and KILL. Default: 5 seconds. */
      readonly killGrace?: string | number
      /** How much of the end of each output an attempt keeps, in bytes. Default: 4096. */
      readonly tailBytes?: number
      /** How many attempts at once suit this machine when nobody says. Default: as many as it has processors. */
      readonly concurrency?: number
    }
    readonly "aws-lambda": {
      /** The function's name, its ARN, or the ARN's end: 123456789012:function:render. */
      readonly functionName: string
      /** A version or an alias of the function. Default: what functionName says, else $LATEST. */
      readonly qualifier?: string
      /** Default: that of the ARN, else what AWS's tools take: AWS_REGION, the profile. */
      readonly region?: string
      /** Where the service is, for one that is not AWS's. */
      readonly endpoint?: string
      /** How many attempts at once suit it when nobody says. Default: 100. */
      readonly concurrency?: number
      /** How many attempts at once it can take at most, such as its reserved concurrency. Default: no limit. */
      readonly maxConcurrency?: number
      /** Where the function reads the job file of jobs that have no storage: an https URL, or a path that it knows. */
      readonly jobDefUrl?: string
    }
    readonly "cloud-run": {
      /** The service's URL, with a path where the worker is not at the root: https://render-abc-ew.a.run.app. */
      readonly serviceUrl: string
      /** Who ID tokens are for: a custom audience of the service. Default: its URL without a path. */
      readonly audience?: string
      /** The file with a service account's key, as JSON. Default: what Google's tools take. */
      readonly keyFile?: string
      /** Secrets that the worker itself knows, beside the ID token, by the variables that hold them. Default: none. */
      readonly auth?: {
        /** The variable whose content is sent as Authorization: Bearer. */
        readonly bearer?: string
        /** A header of its own, such as x-api-key, and the variable whose content is sent in it. */
        readonly key?: {
          /** The header's name. */
          readonly header: string
          /** The variable that holds what is sent. */
          readonly value: string
        }
        /** The variable that holds what requests are signed with; it is never sent. */
        readonly secret?: string
      }
      /** Headers beside those of the protocol, the same for every request. Not for secrets: traces show them. */
      readonly headers?: Readonly<Record<string, string>>
      /** How many attempts at once suit it when nobody says. Default: 100. */
      readonly concurrency?: number
      /** How many attempts at once it can take at most. Default: no limit. */
      readonly maxConcurrency?: number
      /** How long the service lets a request take, its --timeout. Default: 60 minutes, the longest that there is. */
      readonly maxDuration?: string | number
      /** How long a worker that sends events can be silent before it counts as gone. Default: 30 seconds. */
      readonly idleTimeout?: string | number
      /** How long a connection may take to come about. Default: 10 seconds. */
      readonly connectTimeout?: string | number
      /** Where the worker reads the job file of jobs that have no storage: an https URL, or a path that it knows. */
      readonly jobDefUrl?: string
    }
    readonly http: {
      /** Where requests are sent, with the path: https://workers.example/render. */
      readonly url: string
      /** Secrets that are shared with the worker, by the variables that hold them. Default: none are sent. */
      readonly auth?: {
        /** The variable whose content is sent as Authorization: Bearer. */
        readonly bearer?: string
        /** A header of its own, such as x-api-key, and the variable whose content is sent in it. */
        readonly key?: {
          /** The header's name. */
          readonly header: string
          /** The variable that holds what is sent. */
          readonly value: string
        }
        /** The variable that holds what requests are signed with; it is never sent. */
        readonly secret?: string
      }
      /** Headers beside those of the protocol, the same for every request. Not for secrets: traces show them. */
      readonly headers?: Readonly<Record<string, string>>
      /** How many attempts at once suit it when nobody says. Default: 10. */
      readonly concurrency?: number
      /** How many attempts at once it can take at most. Default: no limit. */
      readonly maxConcurrency?: number
      /** How long one request can take at most, where something on the way has a limit. Default: no limit. */
      readonly maxDuration?: string | number
      /** How large a request can be at most, in bytes, where something on the way has a limit. Default: no limit. */
      readonly maxRequestBytes?: number
      /** How long a worker that sends events can be silent before it counts as gone. Default: 30 seconds. */
      readonly idleTimeout?: string | number
      /** How long a connection may take to come about. Default: 10 seconds. */
      readonly connectTimeout?: string | number
      /** Where the worker reads the job file of jobs that have no storage: an https URL, or a path that it knows. */
      readonly jobDefUrl?: string
      /** The name that errors and events give it. Default: http. */
      readonly name?: string
    }
  }
  readonly stitcher: {
    readonly ffmpeg: {
      /** The absolute path of ffmpeg, or a name to look for in PATH. Default: FFMPEG_PATH, else ffmpeg-static, else PATH. */
      readonly ffmpegPath?: string
      /** The ffmpeg encoder for PCM sound. Default: what the container needs. */
      readonly audioCodec?: string
      /** The bitrate of encoded sound, as ffmpeg takes it. Default: 192k. */
      readonly audioBitrate?: string
      /** Sound from elsewhere that is mixed with that of the chunks, once, over the whole video. Default: none. */
      readonly audioTracks?: ReadonlyArray<{
        /** A file of this machine. */
        readonly path: string
        /** When it begins. Default: 0. */
        readonly startSeconds?: number
        /** How loud it is. Default: 1. */
        readonly volume?: number
      }>
      /** Where to write what the joined file is made of, as JSON: chunks with their hashes, and every seam. Default: nowhere. */
      readonly manifest?: string
      /** Whether the manifest has the SHA-256 of the joined file, which is read once more for it. Default: false. */
      readonly hashResult?: boolean
      /** How to encode every chunk again, for chunks that cannot be joined as they are. Default: not at all. */
      readonly reencode?: {
        /** The encoder's name in ffmpeg. */
        readonly codec: string
        /** Options of the encoder. */
        readonly args?: ReadonlyArray<string>
        /** The pixel format. Default: that of the chunks. */
        readonly pixelFormat?: string
      }
      /** What is joined so far, which can be played before the file is whole. Default: none. */
      readonly preview?: {
        /** The folder of the playlist or the movie. */
        readonly folder: string
        /** An HLS playlist (index.m3u8), or one fragmented MP4 (preview.mp4). Default: hls. */
        readonly format?: "hls" | "mp4"
      }
      /** Whether joining begins with the first chunk, while later ones are still rendered, or when all of them are there. Default: true. */
      readonly incremental?: boolean
      /** Whether .mp4 and .mov files start with their index. Default: true. */
      readonly faststart?: boolean
      /** How far the check of a chunk looks into its picture: decodes its key frames, all of it, or none. Default: keyframes. */
      readonly decode?: "keyframes" | "full" | "packets"
      /** Whether the check lets a chunk come without sound, or has it rendered again. Default: allow. */
      readonly silentChunks?: "allow" | "reject"
    }
  }
  readonly repository: {
    readonly memory: {}
    readonly file: {
      /** The folder that holds one folder for each job; made with the first. */
      readonly dir: string
    }
    readonly sqlite: {
      /** The database file; made, with its folder and for its user alone, when it is not there. */
      readonly filename: string
      /** How long to wait for a database that another process has locked. Default: 10 seconds. */
      readonly patience?: string | number
    }
    readonly postgres: {
      /** postgres://user:password@host:5432/database?sslmode=require. It holds the password, and is never printed. */
      readonly url: string
      /** The schema of the tables; made when it is not there. Default: helios. */
      readonly schema?: string
      /** How many connections there are at most, beside the one that says that the process lives. Default: 5. */
      readonly connections?: number
      /** How long to go on trying when the server is away, in the middle of a job. Default: 30 seconds. */
      readonly patience?: string | number
    }
  }
  readonly storage: {
    readonly folder: {
      /** The folder; made with the first artifact. */
      readonly dir: string
    }
    readonly s3: {
      /** The bucket's name. */
      readonly bucket: string
      /** What all keys in the bucket begin with: renders for renders/jobs/. Default: nothing. At most 120 bytes. */
      readonly prefix?: string
      /** Default: what AWS's tools take: AWS_REGION, the profile. R2 calls its own auto. */
      readonly region?: string
      /** Where the service is, for one that is not AWS's. */
      readonly endpoint?: string
      /** Whether the bucket stands in the path, not in the host's name, as most servers of one's own want it. Default: false. */
      readonly forcePathStyle?: boolean
      /** What every part is checked with when it arrives, beside the hash of the whole; md5 for storages that know no newer one. Default: crc32. */
      readonly partChecksum?: "crc32" | "md5" | "none"
      /** What artifacts are encrypted with, where it is not what the bucket does anyway. */
      readonly encryption?: "AES256" | "aws:kms" | "aws:kms:dsse"
      /** The key for aws:kms. Default: the account's own one for S3. */
      readonly kmsKeyId?: string
      /** How large parts are, in bytes; S3 takes none below 5 MiB but the last one. Default: 8 MiB. */
      readonly partBytes?: number
      /** How many parts of an artifact are on their way at once, each held in memory. Default: 4. */
      readonly concurrency?: number
    }
    readonly gcs: {
      /** The bucket's name. */
      readonly bucket: string
      /** What all keys in the bucket begin with: renders for renders/jobs/. Default: nothing. At most 120 bytes. */
      readonly prefix?: string
      /** The project. No request needs it; where it is told, it is not looked for. */
      readonly projectId?: string
      /** A service account's key file. Default: what Google's tools take: the environment, gcloud, the machine's account. */
      readonly keyFilename?: string
      /** Where the service is, for an emulator or an endpoint of your own. */
      readonly apiEndpoint?: string
      /** Whether no credentials are looked for or sent, for an emulator; only with apiEndpoint. Default: false. */
      readonly anonymous?: boolean
      /** The Cloud KMS key that artifacts are encrypted with, where it is not what the bucket does anyway. */
      readonly kmsKeyName?: string
      /** How large the parts of an upload are, in bytes; rounded up to 256 KiB. One is in memory. Default: 8 MiB. */
      readonly partBytes?: number
      /** How often each request is made before it fails, where it can help to make it again. Default: 7, in about 6 seconds. */
      readonly attempts?: number
    }
  }
  readonly outputCheck: {
    readonly presence: {}
    readonly trusting: {}
    readonly ffmpeg: {
      /** The absolute path of ffmpeg, or a name to look for in PATH. Default: FFMPEG_PATH, else ffmpeg-static, else PATH. */
      readonly ffmpegPath?: string
      /** How far the check of a chunk looks into its picture: decodes its key frames, all of it, or none. Default: keyframes. */
      readonly decode?: "keyframes" | "full" | "packets"
      /** Whether the check lets a chunk come without sound, or has it rendered again. Default: allow. */
      readonly silentChunks?: "allow" | "reject"
    }
  }
}
