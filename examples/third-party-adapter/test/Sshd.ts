/**
 * An OpenSSH server of the test run's own on the loopback interface, with throwaway keys, for the user who runs the tests.
 * What it needs lies in a temporary folder, but for the empty one that a server of root's insists on.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync } from "node:fs"
import * as fs from "node:fs/promises"
import { connect, createServer, type Server } from "node:net"
import { tmpdir, userInfo } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

const program = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin", "/sbin"]
  .map((folder) => path.join(folder, "sshd"))
  .find((file) => existsSync(file))

/** Why the tests that need one are skipped, if they are. */
export const missing = program === undefined ? ": there is none, install openssh-server" : undefined

export interface Sshd {
  readonly dir: string
  /** An SSH configuration in which the server is called `farm`, and others are that are wrong in some way. */
  readonly configFile: string
  /** Ends the connections that are open, without a word. */
  readonly cut: () => void
  readonly close: () => Promise<void>
}

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  const port = await portOf(server)
  server.close()
  return port
}

const portOf = async (server: Server) => {
  if (!server.listening) await once(server, "listening")
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("data", () => resolve(true)).once("error", () => resolve(false))
    socket.once("data", () => socket.destroy())
  })

export const start = async (): Promise<Sshd> => {
  const dir = await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), "sshd-")))
  const file = (name: string) => path.join(dir, name)
  const write = (name: string, lines: ReadonlyArray<string>) => fs.writeFile(file(name), `${lines.join("\n")}\n`)
  for (const key of ["host", "user", "stranger"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(key)])
  }
  const publicKey = (name: string) => fs.readFile(file(`${name}.pub`), "utf8")
  await fs.copyFile(file("user.pub"), file("authorized_keys"))
  const port = await freePort()
  await write("sshd_config", [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${file("host")}`,
    `AuthorizedKeysFile ${file("authorized_keys")}`,
    "PidFile none",
    "UsePAM no",
    "StrictModes no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "Subsystem sftp internal-sftp",
    "MaxStartups 100"
  ])
  /** Hangs up on whoever comes, as a server does where too many are waiting to log in. */
  const full = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1")
  await write("known_hosts", [`[127.0.0.1]:${port} ${await publicKey("host")}`])
  await write("mistaken_hosts", [`[127.0.0.1]:${port} ${await publicKey("stranger")}`])
  const alias = (name: string, more: Readonly<Record<string, string | number>> = {}) => [
    `Host ${name}`,
    ...Object.entries({
      HostName: "127.0.0.1",
      Port: port,
      User: userInfo().username,
      IdentityFile: file("user"),
      IdentitiesOnly: "yes",
      IdentityAgent: "none",
      UserKnownHostsFile: file("known_hosts"),
      GlobalKnownHostsFile: "/dev/null",
      LogLevel: "ERROR",
      // The quickest: the tests connect hundreds of times.
      KexAlgorithms: "curve25519-sha256",
      ...more
    }).map(([option, value]) => `  ${option} ${value}`)
  ]
  await write("ssh_config", [
    ...alias("farm"),
    ...alias("unknown", { UserKnownHostsFile: "/dev/null" }),
    ...alias("mistaken", { UserKnownHostsFile: file("mistaken_hosts") }),
    ...alias("stranger", { IdentityFile: file("stranger") }),
    ...alias("closed", { Port: await freePort() }),
    ...alias("full", { Port: await portOf(full) }),
    ...alias("nowhere", { HostName: "nowhere.invalid" })
  ])
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })

  const said: Array<string> = []
  const server = spawn(program ?? "sshd", ["-D", "-e", "-f", file("sshd_config")], {
    stdio: ["ignore", "ignore", "pipe"]
  })
  server.stderr.setEncoding("utf8").on("data", (text: string) => said.push(text))
  const ended = new Promise<void>((resolve) => {
    server.once("close", () => resolve())
  })
  const deadline = performance.now() + 20_000
  // oxlint-disable-next-line no-await-in-loop -- one look after the other
  while (!(await answers(port))) {
    if (server.exitCode !== null || performance.now() > deadline) throw new Error(`sshd: ${said.join("")}`)
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    await sleep(20)
  }

  /** The processes of its connections: what they run is in sessions of its own. */
  const cut = () => {
    const pids = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" })
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number))
    const connections = pids.flatMap(([pid = 0, parent]) => (parent === server.pid ? [`${pid}`] : []))
    spawnSync("kill", ["-KILL", ...connections]) // some may have ended meanwhile
  }
  return {
    dir,
    configFile: file("ssh_config"),
    cut,
    close: async () => {
      full.close()
      cut()
      server.kill("SIGKILL")
      await ended
      await fs.rm(dir, { recursive: true, force: true })
    }
  }
}
