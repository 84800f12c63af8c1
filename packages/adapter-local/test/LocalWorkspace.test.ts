import { assert, describe, it } from "@effect/vitest"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import type { WorkspaceError } from "@helios-infra/core/Workspace"
import { Effect, Option, Scope, Stream } from "effect"
import { execFile } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"

const temporary = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "workspace-")).then((dir) => fs.realpath(dir))),
  (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
)

const setUp = Effect.gen(function* () {
  const dir = yield* temporary
  return { dir, workspace: yield* LocalWorkspace.make({ dir }) }
})

const write = (file: string, text: string) => Effect.promise(() => fs.writeFile(file, text))
const read = (file: string) => Effect.promise(() => fs.readFile(file, "utf8"))
const list = (dir: string) => Effect.promise(() => fs.readdir(dir).then((names) => names.toSorted()))
const reasonOf = <A, R>(effect: Effect.Effect<A, WorkspaceError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const attempt = { jobId: "job", run: 1, chunkId: 0, attempt: 1, outputFile: "part_0.mov" }
const ref = (location: string, bytes = 0) => ({ location, bytes })

/** Names that every Linux file system takes. */
const hostileNames = [
  "-y.mov",
  "a b.mov",
  `quotes'".mov`,
  "new\nline.mov",
  "$HOME;`id`|*.mov",
  "ビデオ🎬.mov",
  `${"x".repeat(251)}.mov`,
  "noextension",
  ".hidden",
  `dot.${"y".repeat(250)}`,
  "...mov"
]

describe("LocalWorkspace.make", () => {
  it.live("needs a folder that is there", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      assert.strictEqual(workspace.root, dir)
      assert.strictEqual(yield* reasonOf(LocalWorkspace.make({ dir: path.join(dir, "missing") })), "NotFound")
      yield* write(path.join(dir, "file"), "")
      assert.strictEqual(yield* reasonOf(LocalWorkspace.make({ dir: path.join(dir, "file") })), "Unavailable")
    })
  )
})

describe("place", () => {
  it.live("is never given twice, not even to two orchestrators, and has the output's extension", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const other = yield* LocalWorkspace.make({ dir })
      const places = yield* Effect.forEach([workspace, workspace, other], (one) => one.place(attempt))
      assert.strictEqual(new Set(places).size, 3)
      for (const place of places) {
        assert.isTrue(path.isAbsolute(place))
        assert.strictEqual(path.extname(place), ".mov")
        yield* write(place, "frames")
      }
    })
  )

  it.live("is below the folder, whatever the job and its outputs are called", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const jobIds = [
        "../../x",
        "/etc",
        "..",
        ".",
        "",
        "a/b",
        "A",
        "a",
        "x".repeat(300),
        "new\nline",
        "nul\0",
        "ü",
        "\ud800"
      ]
      const places: Array<string> = []
      for (const jobId of jobIds) {
        for (const outputFile of [...hostileNames, "../up.mov", "/abs.mov", "sub/dir.mov"]) {
          const place = yield* workspace.place({ ...attempt, jobId, outputFile })
          assert.isTrue(place.startsWith(path.join(dir, ".helios") + path.sep))
          yield* write(place, "frames")
          places.push(place)
        }
      }
      assert.strictEqual(new Set(places).size, places.length)
      assert.strictEqual(new Set(places.map((place) => path.dirname(place))).size, jobIds.length)
      assert.deepStrictEqual(yield* list(dir), [".helios"])
    })
  )

  it.live("is not given where a link leads out of the folder", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const elsewhere = yield* temporary
      yield* Effect.promise(() => fs.symlink(elsewhere, path.join(dir, ".helios")))
      assert.strictEqual(yield* reasonOf(workspace.place(attempt)), "Outside")
      assert.strictEqual(yield* reasonOf(workspace.remove("job", [])), "Outside")
      assert.deepStrictEqual(yield* list(elsewhere), [])
    })
  )

  it.live("is kept out of the user's repository", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      yield* workspace.place(attempt)
      assert.strictEqual(yield* read(path.join(dir, ".helios", ".gitignore")), "*\n")
    })
  )

  it.live("fails when something else is where its folder should be", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      yield* write(path.join(dir, ".helios"), "a file")
      assert.strictEqual(yield* reasonOf(workspace.place(attempt)), "Unavailable")
    })
  )
})

describe("stat and locate", () => {
  it.live("find files and folders of files", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const place = yield* workspace.place(attempt)
      assert.isTrue(Option.isNone(yield* workspace.stat(ref(place))))
      assert.strictEqual(yield* reasonOf(workspace.locate(ref(place))), "NotFound")
      yield* write(place, "12345")
      assert.deepStrictEqual(yield* workspace.stat(ref(place)), Option.some({ bytes: 5 }))
      assert.strictEqual(yield* workspace.locate(ref(place)), place)
      const folder = path.join(dir, "pictures")
      yield* Effect.promise(() => fs.mkdir(path.join(folder, "below"), { recursive: true }))
      for (const name of ["0.png", "1.png", "below/2.png"]) yield* write(path.join(folder, name), "123")
      // What is below is no part of it: who names the root of the disk does not have all of it counted.
      assert.deepStrictEqual(yield* workspace.stat(ref(folder)), Option.some({ bytes: 6 }))
      assert.strictEqual(yield* workspace.locate(ref(folder)), folder)
      assert.isTrue(Option.isNone(yield* workspace.stat(ref("/dev/null"))))
    })
  )
})

describe("publish", () => {
  it.live("gives an output the job file's name, and leaves it where it is", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      for (const name of [...hostileNames, "sub/folder/part.mov"]) {
        const place = yield* workspace.place({ ...attempt, outputFile: name })
        yield* write(place, name)
        yield* workspace.publish(ref(place), name)
        assert.strictEqual(yield* read(path.join(dir, name)), name)
        assert.strictEqual(yield* read(place), name)
      }
      assert.deepStrictEqual(yield* list(dir), [".helios", "sub", ...hostileNames].toSorted())
    })
  )

  it.live("replaces what is there, and can be repeated", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const target = path.join(dir, "part_0.mov")
      yield* write(target, "old")
      const place = yield* workspace.place(attempt)
      yield* write(place, "new")
      yield* workspace.publish(ref(place), "part_0.mov")
      yield* workspace.publish(ref(place), "part_0.mov")
      assert.strictEqual(yield* read(target), "new")
      assert.deepStrictEqual(yield* list(dir), [".helios", "part_0.mov"])
    })
  )

  it.live("replaces a link, not what it leads to", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const elsewhere = yield* temporary
      yield* write(path.join(elsewhere, "precious"), "precious")
      yield* Effect.promise(() => fs.symlink(path.join(elsewhere, "precious"), path.join(dir, "part_0.mov")))
      const place = yield* workspace.place(attempt)
      yield* write(place, "new")
      yield* workspace.publish(ref(place), "part_0.mov")
      assert.strictEqual(yield* read(path.join(elsewhere, "precious")), "precious")
      assert.strictEqual(yield* read(path.join(dir, "part_0.mov")), "new")
    })
  )

  it.live("does not leave the folder, neither by name nor by link", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const elsewhere = yield* temporary
      const place = yield* workspace.place(attempt)
      yield* write(place, "new")
      yield* Effect.promise(() => fs.symlink(elsewhere, path.join(dir, "link")))
      for (const name of [
        "../x.mov",
        "a/../../x.mov",
        path.join(elsewhere, "x.mov"),
        "link/x.mov",
        "link/y/x.mov",
        "",
        "."
      ]) {
        assert.strictEqual(yield* reasonOf(workspace.publish(ref(place), name)), "Outside", name)
      }
      assert.deepStrictEqual(yield* list(elsewhere), [])
    })
  )

  it.live("fails when the output is gone, and leaves nothing when the name is taken by a folder", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const place = yield* workspace.place(attempt)
      assert.strictEqual(yield* reasonOf(workspace.publish(ref(place), "part_0.mov")), "NotFound")
      yield* write(place, "new")
      yield* Effect.promise(() => fs.mkdir(path.join(dir, "part_0.mov")))
      assert.strictEqual(yield* reasonOf(workspace.publish(ref(place), "part_0.mov")), "Unavailable")
      assert.deepStrictEqual(yield* list(dir), [".helios", "part_0.mov"])
    })
  )
})

describe("a folder", () => {
  it.live("is no output that a merge command can be given", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const place = yield* workspace.place(attempt)
      yield* Effect.promise(() => fs.mkdir(place))
      yield* write(path.join(place, "0.png"), "0")
      const error = yield* Effect.flip(workspace.publish(ref(place), "part_0"))
      assert.match(error.message, /it is a folder of pictures, which a stitcher joins/)
      assert.deepStrictEqual(yield* list(dir), [".helios"])
      yield* workspace.remove("job", [])
      assert.deepStrictEqual(yield* list(dir), [])
    })
  )

  it.live("appears whole as the final one, and takes nobody's place", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const make = Effect.fnUntraced(function* (publish: boolean) {
        const staged = yield* workspace.stage("job", "film")
        yield* Effect.promise(() => fs.mkdir(staged.path))
        for (const name of ["0.png", "1.png"]) yield* write(path.join(staged.path, name), "123")
        assert.notInclude(yield* list(dir), "film")
        if (!publish) return undefined
        yield* write(path.join(dir, "film"), "somebody's")
        assert.strictEqual(yield* reasonOf(staged.publish), "Unavailable")
        yield* Effect.promise(() => fs.rm(path.join(dir, "film")))
        return yield* staged.publish
      }, Effect.scoped)
      yield* make(false)
      assert.deepStrictEqual(yield* list(dir), [])
      assert.deepStrictEqual(yield* make(true), { bytes: 6 })
      assert.deepStrictEqual(yield* list(dir), ["film"])
      assert.deepStrictEqual(yield* list(path.join(dir, "film")), ["0.png", "1.png"])
      assert.match((yield* Effect.flip(Effect.scoped(workspace.stage("job", "film")))).message, /there is a folder/)
    })
  )
})

describe("stage", () => {
  it.live("makes the final file appear whole, under any name", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      for (const name of hostileNames) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const staged = yield* workspace.stage("film", name)
            assert.strictEqual(staged.finalPath, path.join(dir, name))
            assert.strictEqual(path.dirname(path.dirname(staged.path)), dir)
            assert.match(path.basename(path.dirname(staged.path)), /^\.helios-/)
            yield* write(staged.path, "video")
            assert.notInclude(yield* list(dir), name)
            assert.deepStrictEqual(yield* staged.publish, { bytes: 5 })
          })
        )
        assert.strictEqual(yield* read(path.join(dir, name)), "video")
      }
      assert.deepStrictEqual(yield* list(dir), [...hostileNames].toSorted())
    })
  )

  it.live("keeps the extension, and offers a name that is free", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      const staged = yield* workspace.stage("film", "out.mp4")
      assert.strictEqual(path.extname(staged.path), ".mp4")
      assert.isTrue(Option.isNone(yield* workspace.stat(ref(staged.path))))
      assert.notStrictEqual((yield* workspace.stage("film", "out.mp4")).path, staged.path)
    })
  )

  it.live("keeps the file that is there until the new one is whole", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      yield* write(path.join(dir, "out.mp4"), "old")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const staged = yield* workspace.stage("film", "out.mp4")
          yield* write(staged.path, "half of the n")
          assert.strictEqual(yield* read(staged.finalPath), "old")
        })
      )
      assert.strictEqual(yield* read(path.join(dir, "out.mp4")), "old")
      assert.deepStrictEqual(yield* list(dir), ["out.mp4"])
    })
  )

  it.live("takes an absolute name as the caller's choice, and makes missing folders", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      const elsewhere = yield* temporary
      const finalPath = path.join(elsewhere, "a", "b", "out.mp4")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const staged = yield* workspace.stage("film", finalPath)
          yield* write(staged.path, "video")
          yield* staged.publish
        })
      )
      assert.strictEqual(yield* read(finalPath), "video")
    })
  )

  it.live("fails at once where nothing can be written", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const elsewhere = yield* temporary
      yield* Effect.promise(() => fs.mkdir(path.join(dir, "folder.mp4")))
      yield* write(path.join(dir, "file"), "")
      yield* Effect.promise(() => fs.symlink(elsewhere, path.join(dir, "link")))
      const stage = (name: string) => reasonOf(Effect.scoped(workspace.stage("film", name)))
      assert.strictEqual(yield* stage("folder.mp4"), "Unavailable")
      assert.strictEqual(yield* stage("new/"), "Unavailable")
      assert.strictEqual(yield* stage("file/out.mp4"), "Unavailable")
      assert.strictEqual(yield* stage(`${"x".repeat(300)}.mp4`), "Unavailable")
      assert.strictEqual(yield* stage("../out.mp4"), "Outside")
      assert.strictEqual(yield* stage("link/out.mp4"), "Outside")
      assert.strictEqual(yield* stage(""), "Outside")
      assert.deepStrictEqual(yield* list(elsewhere), [])
    })
  )

  it.live.skipIf(process.platform !== "linux")("names the reason where the system refuses", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      // The kernel's own file systems take no files of ours, whoever we are.
      const reason = yield* reasonOf(Effect.scoped(workspace.stage("film", "/sys/kernel/out.mp4")))
      assert.strictEqual(reason, "ReadOnly")
    })
  )

  it.live("fails when the staged file was never written", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const staged = yield* workspace.stage("film", "out.mp4")
      assert.strictEqual(yield* reasonOf(staged.publish), "NotFound")
      assert.notInclude(yield* list(dir), "out.mp4")
    })
  )

  it.live("leaves nothing when its scope closes, whatever was written beside the staged file", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      yield* Effect.scoped(
        Effect.gen(function* () {
          const staged = yield* workspace.stage("film", "sub/out.mp4")
          yield* write(path.join(path.dirname(staged.path), "half.mp4"), "half")
        })
      )
      assert.deepStrictEqual(yield* list(dir), ["sub"])
      assert.deepStrictEqual(yield* list(path.join(dir, "sub")), [])
    })
  )

  it.live("is forgotten by a killed process, and found by remove wherever it was", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const elsewhere = yield* temporary
      const abandoned = yield* Scope.make()
      yield* Scope.provide(workspace.stage("film", path.join(elsewhere, "out.mp4")), abandoned)
      yield* Scope.provide(workspace.stage("other", path.join(elsewhere, "other.mp4")), abandoned)
      assert.lengthOf(yield* list(elsewhere), 2)
      yield* workspace.remove("film", [])
      assert.lengthOf(yield* list(elsewhere), 1)
      yield* workspace.remove("other", [])
      assert.deepStrictEqual(yield* list(elsewhere), [])
      assert.deepStrictEqual(yield* list(dir), [])
    })
  )

  it.live("is no way for a command to have anything else removed", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const precious = yield* temporary
      yield* write(path.join(precious, "file"), "kept")
      const place = yield* workspace.place({ jobId: "film", run: 1, chunkId: 0, attempt: 1, outputFile: "a.mov" })
      yield* write(path.join(path.dirname(place), "staged-000000000000"), precious)
      yield* workspace.remove("film", [])
      assert.strictEqual(yield* read(path.join(precious, "file")), "kept")
      assert.deepStrictEqual(yield* list(dir), [])
    })
  )
})

describe("remove", () => {
  it.live("removes the job's attempts but those to keep, and nothing of other jobs", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const place = (jobId: string, chunkId: number) =>
        Effect.tap(workspace.place({ ...attempt, jobId, chunkId }), (file) => write(file, "frames"))
      const [kept, dropped, other] = [yield* place("job", 0), yield* place("job", 1), yield* place("job2", 0)]
      yield* write(path.join(dir, "mine.mov"), "mine")
      yield* workspace.remove("job", [kept, "/elsewhere.mov"])
      assert.isTrue(Option.isSome(yield* workspace.stat(ref(kept))))
      assert.isTrue(Option.isNone(yield* workspace.stat(ref(dropped))))
      assert.isTrue(Option.isSome(yield* workspace.stat(ref(other))))

      yield* workspace.remove("job", [])
      assert.isTrue(Option.isSome(yield* workspace.stat(ref(other))))
      assert.lengthOf(yield* list(path.join(dir, ".helios")), 2)

      yield* workspace.remove("job2", [])
      assert.deepStrictEqual(yield* list(dir), ["mine.mov"])
      yield* workspace.remove("job2", [])
      yield* workspace.remove("never", [])
      assert.deepStrictEqual(yield* list(dir), ["mine.mov"])
    })
  )

  it.live("removes a link, not what it leads to", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      const elsewhere = yield* temporary
      yield* write(path.join(elsewhere, "precious"), "precious")
      const place = yield* workspace.place(attempt)
      yield* Effect.promise(() => fs.symlink(elsewhere, place))
      yield* workspace.remove("job", [])
      assert.deepStrictEqual(yield* list(elsewhere), ["precious"])
    })
  )

  it.live("does not disturb a job that begins in the same moment", () =>
    Effect.gen(function* () {
      const { workspace } = yield* setUp
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => `job${index}`),
        (jobId) =>
          Effect.gen(function* () {
            const place = yield* workspace.place({ ...attempt, jobId })
            yield* write(place, "frames")
            yield* workspace.remove(jobId, [])
          }),
        { concurrency: 8, discard: true }
      )
      assert.deepStrictEqual(yield* list(workspace.root), [])
    })
  )
})

describe("transfer.assets", () => {
  const setUpTransfer = Effect.gen(function* () {
    const { dir, workspace } = yield* setUp
    const { transfer } = workspace
    assert.isDefined(transfer)
    const names = (...named: ReadonlyArray<string>) =>
      Effect.map(Stream.runCollect(transfer.assets(named)), (found) => found.map((asset) => asset.path))
    return { dir, workspace, transfer, names }
  })
  const link = (target: string, at: string) => Effect.promise(() => fs.symlink(target, at))
  const folder = (dir: string) => Effect.promise(() => fs.mkdir(dir, { recursive: true }))

  it.live("takes any name that a file can have", () =>
    Effect.gen(function* () {
      const { dir, names } = yield* setUpTransfer
      for (const name of hostileNames) yield* write(path.join(dir, name), name)
      assert.deepStrictEqual(yield* names("."), hostileNames.toSorted())
      assert.deepStrictEqual(yield* names(...hostileNames), hostileNames.toSorted())
    })
  )

  it.live("follows links that stay in the folder, and fails for those that lead out", () =>
    Effect.gen(function* () {
      const { dir, names, transfer } = yield* setUpTransfer
      const elsewhere = yield* temporary
      yield* folder(path.join(dir, "fonts"))
      yield* write(path.join(dir, "fonts", "a.ttf"), "font")
      yield* write(path.join(elsewhere, "secret"), "secret")
      yield* link("fonts/a.ttf", path.join(dir, "link.ttf"))
      yield* link("fonts", path.join(dir, "linked"))
      assert.deepStrictEqual(yield* names("."), ["fonts/a.ttf", "link.ttf", "linked/a.ttf"])
      const [asset] = yield* Stream.runCollect(transfer.assets(["link.ttf"]))
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(asset?.content ?? Stream.empty)), "font")

      yield* link(path.join(elsewhere, "secret"), path.join(dir, "fonts", "out"))
      assert.strictEqual(yield* reasonOf(names(".")), "Outside")
      assert.strictEqual(yield* reasonOf(names("linked/out")), "Outside")
      assert.deepStrictEqual(yield* names("link.ttf"), ["link.ttf"])
      yield* link(elsewhere, path.join(dir, "folder"))
      assert.strictEqual(yield* reasonOf(names("folder/secret")), "Outside")
      yield* link("nowhere", path.join(dir, "broken"))
      assert.strictEqual(yield* reasonOf(names("broken")), "NotFound")
    })
  )

  it.live("ends where links lead in a circle", () =>
    Effect.gen(function* () {
      const { dir, names } = yield* setUpTransfer
      yield* folder(path.join(dir, "a", "b"))
      yield* write(path.join(dir, "a", "b", "file"), "")
      yield* link("..", path.join(dir, "a", "b", "up"))
      yield* link(dir, path.join(dir, "a", "top"))
      assert.deepStrictEqual(yield* names("a"), ["a/b/file"])
      yield* link("self", path.join(dir, "self"))
      assert.strictEqual(yield* reasonOf(names("self")), "Unavailable")
    })
  )

  it.live.skipIf(process.platform === "win32")("leaves out what is no file, and says so where it was named", () =>
    Effect.gen(function* () {
      const { dir, names } = yield* setUpTransfer
      yield* Effect.promise(() => promisify(execFile)("mkfifo", [path.join(dir, "pipe")]))
      yield* write(path.join(dir, "file"), "")
      assert.deepStrictEqual(yield* names("."), ["file"])
      assert.strictEqual(yield* reasonOf(names("pipe")), "Unavailable")
    })
  )

  it.live("fails for a file that goes away before it is read", () =>
    Effect.gen(function* () {
      const { dir, transfer } = yield* setUpTransfer
      yield* write(path.join(dir, "file"), "content")
      const [asset] = yield* Stream.runCollect(transfer.assets(["file"]))
      yield* Effect.promise(() => fs.rm(path.join(dir, "file")))
      assert.strictEqual(yield* reasonOf(Stream.runDrain(asset?.content ?? Stream.empty)), "NotFound")
    })
  )

  it.live("reads large files piece by piece", () =>
    Effect.gen(function* () {
      const { dir, transfer } = yield* setUpTransfer
      const content = randomBytes(5_000_001)
      yield* Effect.promise(() => fs.writeFile(path.join(dir, "large"), content))
      const [asset] = yield* Stream.runCollect(transfer.assets(["large"]))
      assert.isDefined(asset)
      assert.strictEqual(asset.sha256, createHash("sha256").update(content).digest("hex"))
      const pieces = yield* Stream.runCollect(asset.content)
      assert.isTrue(Buffer.concat(pieces).equals(content))
      assert.isBelow(Math.max(...pieces.map((piece) => piece.length)), 1_000_000)
    })
  )
})

describe("transfer.receive", () => {
  it.live("fails where nothing can be written, and not with what the stream might say", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      yield* write(path.join(dir, ".helios"), "a file")
      const receive = workspace.transfer?.receive("job", "output.mov", Stream.make(new Uint8Array(3)))
      assert.strictEqual(yield* reasonOf(receive ?? Effect.die("no transfer")), "Unavailable")
    })
  )

  it.live("does not follow a link out of the folder", () =>
    Effect.gen(function* () {
      const { dir, workspace } = yield* setUp
      const elsewhere = yield* temporary
      yield* Effect.promise(() => fs.symlink(elsewhere, path.join(dir, ".helios")))
      const receive = workspace.transfer?.receive("job", "output.mov", Stream.make(new Uint8Array(3)))
      assert.strictEqual(yield* reasonOf(receive ?? Effect.die("no transfer")), "Outside")
      assert.deepStrictEqual(yield* list(elsewhere), [])
    })
  )
})
