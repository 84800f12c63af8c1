/**
 * The files of a job, as a package with a file system provides them: `new LocalWorkerAdapter().files()`.
 *
 * Opaque: it is there to be passed on to core, which looks the service behind it up.
 */
export class JobFolder {
  /** Where it is, for those who print it. */
  readonly dir: string
  constructor(dir: string) {
    this.dir = dir
  }
}
