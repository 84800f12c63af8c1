// @ts-check
/**
 * Puts the film on the clock of the Helios renderer.
 *
 * The renderer moves the page's virtual clock from frame to frame and asks for stability before it takes the canvas;
 * that is when the frame is drawn, from its number alone. Drawing on requestAnimationFrame instead would race with it.
 */
import { Helios } from "@helios-project/core"
import { seconds, draw } from "./film.js"
import { drawStrip } from "./strip.js"

const props = /** @type {{ __HELIOS_PROPS__?: { fps?: number } }} */ (window).__HELIOS_PROPS__
const fps = props?.fps ?? 30

const canvas = document.createElement("canvas")
canvas.width = window.innerWidth
canvas.height = window.innerHeight
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }))

/** @param {number} frame */
const show = (frame) => {
  draw(context, frame / fps)
  drawStrip(context, frame)
}

const helios = new Helios({ fps, duration: seconds, width: canvas.width, height: canvas.height })
helios.subscribe((state) => show(state.currentFrame))
helios.registerStabilityCheck(async () => {
  try {
    const frame = Math.round((performance.now() * fps) / 1000)
    if (frame !== helios.currentFrame.value) helios.seek(frame)
  } catch (error) {
    // The renderer ignores a failed check and would take the frame before; an uncaught error makes it fail.
    reportError(error)
  }
})

// The canvas enters the page last: the renderer waits for it, so no frame is taken without the type it is set in.
await Promise.all(["100 20px Archivo", "900 20px Archivo"].map((font) => document.fonts.load(font)))
Object.assign(window, { helios })
show(0)
document.body.append(canvas)
