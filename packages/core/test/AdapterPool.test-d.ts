import { AdapterPool, type WorkerAdapter } from "@helios-infra/core"
import type { Layer } from "effect"
import { expectTypeOf, it } from "vitest"

interface Busy {
  readonly _tag: "Busy"
}
interface NoKey {
  readonly _tag: "NoKey"
}
interface Disk {
  readonly disk: string
}
interface Network {
  readonly network: string
}

declare const plain: Layer.Layer<WorkerAdapter.WorkerAdapter>
declare const here: Layer.Layer<WorkerAdapter.WorkerAdapter, Busy, Disk>
declare const there: Layer.Layer<WorkerAdapter.WorkerAdapter | Network, NoKey, Network>
declare const disk: Layer.Layer<Disk>

it("is made of layers that fail, and need, different things", () => {
  expectTypeOf(AdapterPool.layerOverflow([plain, here, there])).toEqualTypeOf<
    Layer.Layer<WorkerAdapter.WorkerAdapter, Busy | NoKey, Disk | Network>
  >()
  expectTypeOf(AdapterPool.layerFallback([there, here], { name: "farm" })).toEqualTypeOf<
    Layer.Layer<WorkerAdapter.WorkerAdapter, Busy | NoKey, Disk | Network>
  >()
  expectTypeOf(AdapterPool.layerOverflow([plain])).toEqualTypeOf<Layer.Layer<WorkerAdapter.WorkerAdapter>>()
  expectTypeOf<readonly [typeof plain, typeof disk]>().not.toExtend<AdapterPool.Layers>()
  expectTypeOf<readonly []>().not.toExtend<AdapterPool.Layers>()
})
