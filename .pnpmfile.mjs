// The node-* packages publish `os` and `cpu` as plain strings, which pnpm does not match: without this, every
// platform's binary would be installed.
const list = (value) => (typeof value === "string" ? [value] : value)
export const hooks = {
  readPackage(pkg) {
    if (/^node-(linux|win|darwin)-/.test(pkg.name ?? "")) {
      pkg.os = list(pkg.os)
      pkg.cpu = list(pkg.cpu)
    }
    // Templates name our packages as whoever copies them will get them; here they are the ones beside them.
    if (pkg.name?.startsWith("@acme/helios-adapter")) {
      for (const field of ["dependencies", "devDependencies"]) {
        for (const name in pkg[field]) if (name.startsWith("@helios-infra/")) pkg[field][name] = "workspace:^"
      }
    }
    return pkg
  }
}
