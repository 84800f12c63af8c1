/**
 * What is stored of deliveries: how far an endpoint has come with a job, who sends it now, and what is known of the
 * endpoint as a whole.
 *
 * There is no lock. Whoever begins to send writes its name into the cursor; whoever finds another name there stops. Two
 * that do so at once may both send an event, and neither leaves one out.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { digest } from "../JobFeed.ts"
import type { CursorError, WebhookCursors } from "../WebhookCursors.ts"

/** How far an endpoint has come with a job. */
export const Cursor = Schema.Struct({
  version: Schema.Literal(1),
  /** For people: the key is made of hashes. */
  endpoint: Schema.String,
  jobId: Schema.String,
  /** When the job was created: another job of this name begins anew. */
  createdAt: Schema.Finite,
  /** Who sends. */
  holder: Schema.String,
  /** The last record that is done with, and its run. */
  revision: Schema.Int,
  run: Schema.Int,
  /** Whether the job was at rest there: then nothing is due before its next run. */
  atRest: Schema.Boolean,
  /** Since when the endpoint has taken no event of the job, in milliseconds since the epoch; null where it did. */
  failingSince: Schema.NullOr(Schema.Finite)
})

/** The type of {@link Cursor}. */
export type Cursor = typeof Cursor.Type

/** What is known of an endpoint. */
export const EndpointNote = Schema.Struct({
  version: Schema.Literal(1),
  endpoint: Schema.String,
  /** When it was first seen, in milliseconds since the epoch. */
  firstSeen: Schema.Finite,
  /** The hash of the URL that answered 410, and when it did. */
  gone: Schema.optionalKey(Schema.Struct({ urlHash: Schema.String, at: Schema.Finite }))
})

/** The type of {@link EndpointNote}. */
export type EndpointNote = typeof EndpointNote.Type

const CursorJson = Schema.fromJsonString(Cursor)
const NoteJson = Schema.fromJsonString(EndpointNote)

/** Ids have any characters, and any length. */
const short = (text: string): Effect.Effect<string> => Effect.map(digest(text), (hash) => hash.slice(0, 32))

/** Where an endpoint's cursor for a job is. */
export const cursorKey = (endpoint: string, jobId: string): Effect.Effect<string> =>
  Effect.map(Effect.all([short(jobId), short(endpoint)]), ([job, endpoint]) => `jobs/${job}/${endpoint}`)

const noteKey = (endpoint: string): Effect.Effect<string> => Effect.map(short(endpoint), (hash) => `endpoints/${hash}`)

type Store = WebhookCursors["Service"]

/** Something is read as if it was not there when it cannot be read: events are rather sent twice than never. */
const load = <A, I>(store: Store, key: string, schema: Schema.Codec<A, I>): Effect.Effect<A | undefined, CursorError> =>
  Effect.flatMap(store.get(key), (text) =>
    text === undefined
      ? Effect.undefined
      : Option.match(Schema.decodeUnknownOption(schema)(text), {
          onNone: () =>
            Effect.as(Effect.logWarning(`the webhook cursor ${key} is damaged, and begins anew`), undefined),
          onSome: (found) => Effect.succeed(found)
        })
  )

/** Reads a cursor. */
export const loadCursor = (store: Store, key: string): Effect.Effect<Cursor | undefined, CursorError> =>
  load(store, key, CursorJson)

/** Writes a cursor. */
export const saveCursor = (store: Store, key: string, cursor: Cursor): Effect.Effect<void, CursorError> =>
  Effect.flatMap(Effect.orDie(Schema.encodeEffect(CursorJson)(cursor)), (text) => store.set(key, text))

/** Reads what is known of an endpoint; nothing, but that it is seen now, when it is new. */
export const loadNote = Effect.fnUntraced(function* (
  store: Store,
  endpoint: string,
  now: number
): Effect.fn.Return<EndpointNote, CursorError> {
  const found = yield* load(store, yield* noteKey(endpoint), NoteJson)
  if (found !== undefined) return found
  const note: EndpointNote = { version: 1, endpoint, firstSeen: now }
  yield* saveNote(store, note)
  return note
})

/** Writes what is known of an endpoint. */
export const saveNote = Effect.fnUntraced(function* (
  store: Store,
  note: EndpointNote
): Effect.fn.Return<void, CursorError> {
  const text = yield* Effect.orDie(Schema.encodeEffect(NoteJson)(note))
  yield* store.set(yield* noteKey(note.endpoint), text)
})
