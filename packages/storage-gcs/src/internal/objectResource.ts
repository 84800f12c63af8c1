/** What the service says of an object, and where it lies. */
import * as Schema from "effect/Schema"

/** Decimal digits, of a number that JavaScript may not be able to hold. */
const Digits = Schema.String.check(Schema.isPattern(/^\d{1,20}$/))

/** An object, as far as anybody here wants to know. */
export const ObjectResource = Schema.Struct({
  name: Schema.String,
  /** Another one each time that the object is written. */
  generation: Digits,
  size: Digits,
  crc32c: Schema.optionalKey(Schema.String),
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})
export type ObjectResource = typeof ObjectResource.Type

/** {@link ObjectResource} as a request asks for it. */
export const objectFields = "name,generation,size,crc32c,metadata"

export const decodeObject = Schema.decodeUnknownEffect(Schema.fromJsonString(ObjectResource))

/** A page of a list. */
export const decodePage = Schema.decodeUnknownEffect(
  Schema.fromJsonString(
    Schema.Struct({
      items: Schema.optionalKey(Schema.Array(ObjectResource)),
      nextPageToken: Schema.optionalKey(Schema.String)
    })
  )
)
