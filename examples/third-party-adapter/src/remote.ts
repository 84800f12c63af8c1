/**
 * What runs on the other machine: a script for POSIX sh on Linux, with nothing to install.
 *
 * It is sent on standard input. So the login shell sees {@link bootstrap} and nothing else, no argument or variable stands
 * in a list of processes for others to read, and the end of that input tells it to stop, even when this process has died.
 */
import { join as quote } from "shlex"

/** The command that ssh is given, for whatever is to be done. */
export const bootstrap = `exec sh -c 'IFS= read -r script && eval "$(printf %s "$script" | base64 -d)"'`

/** A call of {@link script} with these variables set, as the line that {@link bootstrap} reads. */
export const call = (words: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): string => {
  const variables = Object.entries(env).map(([name, value]) => `export ${quote([`${name}=${value}`])}`)
  return `${Buffer.from([script, ...variables, quote([...words])].join("\n")).toString("base64")}\n`
}

/**
 * `run MARKER GRACE FOLDER OUTPUT COMMAND...` runs a command, and ends all of it when the input ends. Prints the marker
 * to its errors once it has begun. What a command wrote that succeeded, or an empty file, is left in `/tmp/MARKER`.
 *
 * `clean GRACE MARKER...` ends what is left of attempts, removes their folders, and prints those that it could not end.
 *
 * The time between TERM and KILL is in tenths of a second.
 */
const script = `
running() { grep -lszxF "HELIOS_SSH=$1" /proc/[0-9]*/environ | cut -d/ -f3; }
end() {
  i=0
  while pids=$(running "$1"); [ -n "$pids" ]; do
    [ $i -lt $(($2 + 50)) ] || return
    if [ $i -eq 0 ]; then kill -TERM $pids; elif [ $i -ge $2 ]; then kill -KILL $pids; fi
    i=$((i + 1)); sleep 0.1
  done 2> /dev/null
}
clean() {
  grace=$1; shift
  for marker; do end "$marker" "$grace" && rm -rf "/tmp/$marker" || echo "$marker"; done
}
run() {
  marker=$1 grace=$2 folder=$3 output=$4; shift 4
  cd -- "$folder" && command -v -- "$1" > /dev/null || { echo "there is no $1 in $folder or $PATH" >&2; exit 127; }
  trap : PIPE
  mkdir -m 700 "/tmp/$marker" || exit; echo "$marker" >&2
  exec 3<&0
  HELIOS_SSH=$marker setsid "$@" < /dev/null 3<&- & command=$!
  # Again and again: a process that is about to begin carries no marker yet.
  (read -r _; while :; do end "$marker" "$grace"; sleep 0.1; done) <&3 3<&- > /dev/null 2>&1 & watch=$!
  wait $command; code=$?
  kill $watch; end "$marker" "$grace"
  if [ $code -ne 0 ]; then rm -rf "/tmp/$marker"; elif [ ! -e "$output" ]; then : > "$output"; fi
  # 255 is what ssh gives for errors of its own.
  exit $((code == 255 ? 254 : code))
}`
