/**
 * What the bindings of a bucket or a service allow, asked as IAM would: by permission and by the name of a thing.
 *
 * Knows the roles that are granted, and as much of the language of conditions as they use; anything else throws.
 */

/** One grant. */
export interface Binding {
  /** What it was granted on: `gs://my-renders`, or a service's name. */
  readonly on: string
  readonly role: string
  readonly member: string
  readonly condition?: string
}

// As Google's pages on roles say, of what concerns objects and calls.
const permissions: Readonly<Record<string, ReadonlyArray<string>>> = {
  "roles/run.invoker": ["run.routes.invoke"],
  "roles/storage.objectViewer": ["storage.objects.get", "storage.objects.list"],
  "roles/storage.objectUser": ["create", "delete", "get", "list", "update"].map((name) => `storage.objects.${name}`)
}

/** A thing that something is to be done with. */
interface Resource {
  readonly type: string
  readonly name: string
}

/** What lies between two parts of a text, or nothing: `extract("a/{name}/b")` of the conditions' language. */
const extract = (text: string, template: string): string => {
  const [, before = "", after = ""] = /^(.*?)\{\w+\}(.*)$/.exec(template) ?? []
  const start = text.indexOf(before)
  if (start < 0) return ""
  const rest = text.slice(start + before.length)
  const end = after === "" ? rest.length : rest.indexOf(after)
  return end < 0 ? "" : rest.slice(0, end)
}

/** Whether a condition holds: comparisons, `startsWith` and `extract` with `&&`, `||` and brackets. */
export const holds = (condition: string, resource: Resource): boolean => {
  const tokens = condition.match(/'[^']*'|[\w.]+|&&|\|\||==|!=|[()]/g) ?? []
  let at = 0
  const next = (expected?: string): string => {
    const token = tokens[at++] ?? "the end"
    if (expected !== undefined && token !== expected)
      throw new Error(`${expected} is expected, not ${token}: ${condition}`)
    return token
  }
  const text = (): string => {
    const token = next()
    if (!token.startsWith("'")) throw new Error(`a text is expected, not ${token}: ${condition}`)
    return token.slice(1, -1)
  }
  const called = <A>(use: (argument: string) => A): A => {
    next("(")
    const result = use(text())
    next(")")
    return result
  }
  const term = (): boolean => {
    const token = next()
    switch (token) {
      case "(": {
        const inner = any()
        next(")")
        return inner
      }
      case "resource.type":
        next("==")
        return resource.type === text()
      case "resource.name.startsWith":
        return called((prefix) => resource.name.startsWith(prefix))
      case "resource.name.extract": {
        const found = called((template) => extract(resource.name, template))
        next("!=")
        return found !== text()
      }
      default:
        throw new Error(`what is ${token}? ${condition}`)
    }
  }
  const separated = (operator: string, one: () => boolean): ReadonlyArray<boolean> => {
    const results = [one()]
    while (tokens[at] === operator) {
      at++
      results.push(one())
    }
    return results
  }
  const all = (): boolean => separated("&&", term).every(Boolean)
  const any = (): boolean => separated("||", all).some(Boolean)
  const result = any()
  if (at !== tokens.length) throw new Error(`more than a condition: ${condition}`)
  return result
}

const allows = (bindings: ReadonlyArray<Binding>, permission: string, resource: Resource): boolean =>
  bindings.some(({ condition, role }) => {
    const granted = permissions[role]
    if (granted === undefined) throw new Error(`what does ${role} allow?`)
    return granted.includes(permission) && (condition === undefined || holds(condition, resource))
  })

/** What an account may do with the objects of a bucket. */
export const ofAccount = (bindings: ReadonlyArray<Binding>, email: string, bucket: string) => {
  const granted = bindings.filter(({ member, on }) => member === `serviceAccount:${email}` && on === `gs://${bucket}`)
  const name = `projects/_/buckets/${bucket}`
  const object = (operation: string) => (key: string) =>
    allows(granted, `storage.objects.${operation}`, {
      type: "storage.googleapis.com/Object",
      name: `${name}/objects/${key}`
    })
  return {
    get: object("get"),
    create: object("create"),
    delete: object("delete"),
    // Of the bucket, whatever is listed.
    list: () => allows(granted, "storage.objects.list", { type: "storage.googleapis.com/Bucket", name })
  }
}
