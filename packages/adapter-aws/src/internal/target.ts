/** Which function is called, in the words of errors. */

/** A function, and the region in which it is looked for; absent where none was set. */
export interface Target {
  readonly functionName: string
  readonly qualifier: string | undefined
  readonly region: string | undefined
}

/** `function "render:live" in eu-west-1` */
export const describe = ({ functionName, qualifier, region }: Target): string =>
  `function ${JSON.stringify(qualifier === undefined ? functionName : `${functionName}:${qualifier}`)} in ${region ?? "no region"}`

/** The region in an ARN. */
export const regionOf = (functionName: string): string | undefined =>
  /^arn:[a-z-]+:lambda:([a-z0-9-]+):/.exec(functionName)?.[1]
