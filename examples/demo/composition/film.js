// @ts-check
/**
 * The film: ten seconds, five scenes of four beats, 120 beats a minute, a pure function of time.
 *
 * Sunrise, one long render, the cut into eight, no seam, the name. Everything is laid out on a stage of 1280 by 720
 * that is scaled to the canvas. The sound (`src/sound.ts`) is written to the same beats.
 */
import { clamp, inCubic, inOutQuart, mix, outBack, outExpo, pulse, span } from "./motion.js"

export const seconds = 10
const beatsPerSecond = 2
const width = 1280
/** The picture ends above a band that carries the strip of blocks and the playhead, as the edge of a film does. */
const height = 696
const edge = 24

const ink = "#0d0a1f"
const plum = "#34125c"
const rose = "#ff2e63"
const ember = "#ff4f1f"
const gold = "#ffb62e"
const cream = "#fff3dd"
/** The eight chunks, from dusk to daylight. */
const dawn = ["#7a1fa2", "#c2187b", "#ff2e63", "#ff4f1f", "#ff7a1c", "#ff9d24", "#ffb62e", "#ffd46b"]

/** @typedef {CanvasRenderingContext2D} Context */

// ---------------------------------------------------------------------------
// Type and shapes
// ---------------------------------------------------------------------------

/**
 * @param {Context} c @param {string} text @param {number} x @param {number} y
 * @param {{ size: number, weight?: number, stretch?: CanvasFontStretch, color: string, align?: CanvasTextAlign, tracking?: number }} style
 */
const write = (c, text, x, y, { size, weight = 900, stretch = "normal", color, align = "left", tracking = 0 }) => {
  setFont(c, size, weight, stretch, tracking)
  c.textAlign = align
  c.fillStyle = color
  c.fillText(text, x, y)
}

/** @param {Context} c @param {number} size @param {number} weight @param {CanvasFontStretch} stretch @param {number} tracking */
const setFont = (c, size, weight, stretch = "normal", tracking = 0) => {
  c.font = `${Math.round(weight)} ${size}px Archivo`
  c.fontStretch = stretch
  c.letterSpacing = `${tracking}px`
}

/** The size at which `text` is `target` wide. @param {Context} c @param {string} text @param {number} target @param {CanvasFontStretch} stretch */
const fit = (c, text, target, stretch) => {
  setFont(c, 100, 900, stretch)
  return (100 * target) / c.measureText(text).width
}

/** @param {Context} c @param {string | CanvasGradient} color */
const flood = (c, color) => {
  c.fillStyle = color
  c.fillRect(0, 0, width, height)
}

/** A colour with ink over it. @param {string} color @param {number} amount */
const mixed = (color, amount) => {
  const channels = [1, 3, 5].map((at) =>
    Math.round(mix(parseInt(color.slice(at, at + 2), 16), parseInt(ink.slice(at, at + 2), 16), amount))
  )
  return `rgb(${channels.join(" ")})`
}

/** @param {Context} c @param {number} x @param {number} y @param {number} radius */
const circle = (c, x, y, radius) => {
  c.beginPath()
  c.arc(x, y, Math.max(0, radius), 0, Math.PI * 2)
}

/** Draws in a place of its own: what is set inside does not get out. @param {Context} c @param {() => void} body */
const inside = (c, body) => {
  c.save()
  body()
  c.restore()
}

/** @param {Context} c @param {ReadonlyArray<string>} colors @param {[number, number, number, number]} line */
const gradient = (c, colors, line) => {
  const made = c.createLinearGradient(...line)
  colors.forEach((color, index) => made.addColorStop(index / (colors.length - 1), color))
  return made
}

/**
 * A sun with rays that breathe with the beat.
 * @param {Context} c @param {{ x: number, y: number, radius: number, beat: number, rays: number, spread?: number }} sun
 */
const drawSun = (c, { x, y, radius, beat, rays, spread = 1 }) => {
  const count = 72
  const hit = pulse(beat)
  c.strokeStyle = gold
  c.lineCap = "round"
  for (let index = 0; index < count && rays > 0; index++) {
    const angle = (index / count) * Math.PI * 2 + beat * 0.04
    const wave = 0.5 + 0.5 * Math.sin(index * 1.7 + beat * 1.3)
    const from = radius * 1.13 + 10 * hit * spread
    const length = (14 + 44 * wave * (0.45 + hit)) * rays * spread
    c.globalAlpha = rays * (0.35 + 0.65 * wave)
    c.lineWidth = 4 * spread
    c.beginPath()
    c.moveTo(x + Math.cos(angle) * from, y + Math.sin(angle) * from)
    c.lineTo(x + Math.cos(angle) * (from + length), y + Math.sin(angle) * (from + length))
    c.stroke()
  }
  c.globalAlpha = 1
  c.fillStyle = gradient(c, [gold, "#ff8a24", ember, rose], [x, y - radius, x, y + radius])
  circle(c, x, y, radius)
  c.fill()
}

// ---------------------------------------------------------------------------
// Scenes: `beat` counts from the scene's start
// ---------------------------------------------------------------------------

/** @param {Context} c @param {number} beat */
const sunrise = (c, beat) => {
  const rise = outExpo(clamp(beat / 2.2))
  flood(c, gradient(c, ["#0d0a1f", "#1d0d3d", plum], [0, 0, 0, height]))

  const swallow = inCubic(span(beat, 3.4, 0.6))
  const x = width / 2
  const y = mix(820, 348, rise)
  const radius = 226 + 12 * pulse(beat) + 640 * swallow

  for (let hit = 0; hit < 4; hit++) {
    const age = beat - hit
    if (age < 0 || age > 2) continue
    c.globalAlpha = 0.5 * (1 - age / 2)
    c.strokeStyle = hit % 2 === 0 ? rose : gold
    c.lineWidth = mix(10, 1, age / 2)
    circle(c, x, y, 240 + outExpo(age / 2) * 560)
    c.stroke()
  }
  c.globalAlpha = 1
  drawSun(c, { x, y, radius, beat, rays: span(beat, 0.5, 1) * (1 - swallow) })

  const word = "HELIOS"
  const size = fit(c, word, 1130, "expanded")
  setFont(c, size, 900, "expanded")
  const cells = [...word].map((letter) => c.measureText(letter).width)
  /** @param {string} color */
  const letters = (color) => {
    let left = (width - cells.reduce((sum, cell) => sum + cell, 0)) / 2
    for (const [index, letter] of [...word].entries()) {
      const cell = cells[index] ?? 0
      const age = beat - (0.5 + index * 0.25)
      const landed = outBack(clamp(age / 0.7))
      const wave = pulse(beat - 0.08 * index) * span(beat, 2, 0.1)
      const weight = mix(100, 900, outExpo(clamp(age / 0.9))) - 520 * wave
      const fall = inCubic(span(beat, 3.35 + 0.05 * index, 0.45)) * 620
      if (age > 0) {
        const lift = mix(460, 0, landed) + fall - 26 * wave
        write(c, letter, left + cell / 2, 348 + size * 0.345 + lift, {
          size,
          weight,
          stretch: "expanded",
          color,
          align: "center"
        })
      }
      left += cell
    }
  }
  letters(cream)
  inside(c, () => {
    circle(c, x, y, radius)
    c.clip()
    letters(ink)
  })
  if (swallow > 0) {
    c.globalAlpha = swallow
    flood(c, ember)
    c.globalAlpha = 1
  }
}

/** @param {Context} c @param {number} beat */
const oneLongRender = (c, beat) => {
  const squeeze = inOutQuart(span(beat, 3.1, 0.8))
  flood(c, squeeze > 0 ? ink : ember)
  const rows = [
    { word: "ONE", start: 0, back: ember, color: cream, from: -1 },
    { word: "LONG", start: 1, back: gold, color: ink, from: 1 },
    { word: "RENDER", start: 2, back: rose, color: cream, from: -1 }
  ]
  const rowHeight = height / rows.length
  inside(c, () => {
    // The whole poster is pressed into the bar that the next scene cuts.
    c.translate(0, mix(0, height / 2, squeeze))
    c.scale(1, mix(1, 88 / height, squeeze))
    c.translate(0, mix(0, -height / 2, squeeze))
    for (const [index, row] of rows.entries()) {
      const age = beat - row.start
      if (age < 0) continue
      const slide = outExpo(clamp(age / 0.75))
      inside(c, () => {
        c.beginPath()
        c.rect(0, index * rowHeight, width, rowHeight)
        c.clip()
        c.translate((1 - slide) * row.from * width, 0)
        c.fillStyle = row.back
        c.fillRect(0, index * rowHeight, width, rowHeight)
        const size = 300
        setFont(c, size, 900)
        const drawn = c.measureText(row.word).width
        const drift = Math.sin(beat * 0.8 + index) * 6
        c.translate(width / 2 + drift, (index + 0.5) * rowHeight)
        c.scale((1180 / drawn) * (1 + 0.02 * pulse(beat)), 1)
        write(c, row.word, 0, size * 0.345, {
          size,
          weight: mix(300, 900, outExpo(clamp(age / 0.5))) - 160 * pulse(beat) * span(age, 0.9, 0.1),
          color: row.color,
          align: "center"
        })
      })
    }
    if (squeeze > 0) {
      c.globalAlpha = squeeze
      flood(c, gradient(c, dawn, [0, 0, width, 0]))
      c.globalAlpha = 1
    }
  })
}

/** How far each chunk is: they start together and finish apart. @param {number} column @param {number} beat */
const filled = (column, beat) => {
  const speed = [0.86, 1.14, 0.95, 1.3, 0.8, 1.06, 1.22, 0.9][column] ?? 1
  return clamp(((beat - 0.7) / 2.6) * speed)
}

/**
 * Eight columns with the word set across all of them. `apart` is 1 when each stands alone and 0 when they are one.
 * @param {Context} c @param {number} beat @param {number} apart @param {(column: number, color: string) => void} content
 */
const columns = (c, beat, apart, content) => {
  const columnWidth = width / dawn.length
  for (const [column, color] of dawn.entries()) {
    const wave = Math.sin(column * 1.9 + Math.floor(beat) * 2.4) * 64 * pulse(beat)
    const open = outExpo(span(beat, 0.04 * Math.abs(column - 3.5), 0.6))
    const half = mix(44, height / 2 + 80, apart === 0 ? 1 : open)
    const gap = 5 * apart * open
    inside(c, () => {
      c.beginPath()
      c.rect(column * columnWidth + gap, height / 2 - half, columnWidth - 2 * gap + (apart === 0 ? 1 : 0), 2 * half)
      c.clip()
      c.translate(0, wave * apart)
      c.fillStyle = color
      c.fillRect(column * columnWidth, -200, columnWidth + 1, height + 400)
      content(column, color)
    })
  }
}

/** @param {Context} c @param {number} beat */
const cutInEight = (c, beat) => {
  flood(c, ink)
  const columnWidth = width / dawn.length
  const size = fit(c, "IN PARALLEL", 1216, "condensed")
  columns(c, beat, 1, (column, color) => {
    const left = column * columnWidth
    const done = filled(column, beat)
    const top = mix(height + 80, -80, done)
    const shown = outExpo(span(beat, 0.2 + 0.06 * column, 0.6))
    const entering = outExpo(span(beat, 1, 0.7))
    const dy = (column % 2 === 0 ? -1 : 1) * (1 - entering) * 560
    /** @param {string} color */
    const labels = (color) => {
      write(c, String(column + 1), left + 18, mix(820, 644, shown), { size: 92, weight: 800, color })
      write(c, `${Math.round(done * 100)} %`, left + 20, mix(-60, 78, shown), { size: 24, weight: 650, color })
      if (beat < 1) return
      write(c, "IN PARALLEL", width / 2, height / 2 + size * 0.345 + dy, {
        size,
        weight: 900,
        stretch: "condensed",
        color,
        align: "center"
      })
    }
    labels(column < 3 ? cream : ink)
    inside(c, () => {
      c.beginPath()
      c.rect(left, -200, columnWidth, top + 200)
      c.clip()
      c.fillStyle = mixed(color, 0.78 * span(beat, 0.25, 0.4))
      c.fillRect(left, -200, columnWidth, top + 200)
      labels(cream)
    })
    c.fillStyle = cream
    c.fillRect(left, top - 3, columnWidth, 6)
  })
}

/** @param {Context} c @param {number} beat */
const noSeam = (c, beat) => {
  flood(c, gradient(c, dawn, [0, 0, width, 0]))
  const closing = 1 - outExpo(clamp(beat / 0.5))
  if (closing > 0.01) {
    inside(c, () => {
      c.globalAlpha = closing
      columns(c, 4 + beat, closing, () => {})
    })
  }

  const count = inOutQuart(span(beat, 1.9, 1.5))
  // The inspector: a bar of light that goes over every frame.
  if (count > 0 && count < 1) {
    c.fillStyle = cream
    c.fillRect(width * count - 4, 0, 8, height)
    c.globalAlpha = 0.22
    c.fillRect(0, 0, width * count, height)
    c.globalAlpha = 1
  }

  // One line of sound, from edge to edge.
  const drawn = outExpo(span(beat, 0, 1.4))
  for (const [layer, color] of [gold, cream, ink].entries()) {
    c.strokeStyle = color
    c.lineWidth = 7
    c.lineJoin = "round"
    c.beginPath()
    for (let x = 0; x <= width * drawn; x += 5) {
      const bell = Math.exp(-(((x - width / 2) / 420) ** 2))
      const swing = Math.sin(x * 0.021 + beat * 2.2 + layer * 0.9) * Math.sin(x * 0.0065 - beat * 0.7 + layer)
      c.lineTo(x, 574 + swing * bell * (52 + 60 * pulse(beat)))
    }
    c.stroke()
  }

  const size = fit(c, "NO SEAM", 1150, "semi-expanded")
  const words = [
    { text: "NO", start: 0, align: /** @type {const} */ ("left"), x: 65 },
    { text: "SEAM", start: 1, align: /** @type {const} */ ("right"), x: width - 65 }
  ]
  for (const { text, start, align, x } of words) {
    const age = beat - start
    if (age < 0) continue
    const slam = outExpo(clamp(age / 0.45))
    inside(c, () => {
      c.globalAlpha = clamp(age / 0.12)
      c.translate(x, 322)
      const zoom = mix(1.9, 1, slam) + 0.018 * pulse(beat)
      c.scale(zoom, zoom)
      write(c, text, 0, size * 0.345, {
        size,
        weight: mix(200, 900, slam) - 180 * pulse(beat) * span(age, 0.9, 0.1),
        stretch: "semi-expanded",
        color: ink,
        align
      })
    })
  }

  const shown = outExpo(span(beat, 1.8, 0.5))
  c.globalAlpha = shown
  write(c, `${Math.round(300 * count)} of 300 frames, each one once`, width / 2, mix(184, 158, shown), {
    size: 30,
    weight: 650,
    color: ink,
    align: "center",
    tracking: 0.4
  })
  c.globalAlpha = 1
}

/** @param {Context} c @param {number} beat */
const name = (c, beat) => {
  const fold = outExpo(clamp(beat / 1.1))
  flood(c, gradient(c, ["#0d0a1f", "#180c34", "#2a1150"], [0, 0, 0, height]))
  const radius = mix(780, 122, fold) + 8 * pulse(beat) * fold
  const y = mix(348, 226, fold)
  for (let hit = 0; hit < 4; hit++) {
    const age = beat - hit
    if (hit === 0 || age < 0 || age > 2) continue
    c.globalAlpha = 0.4 * (1 - age / 2)
    c.strokeStyle = hit % 2 === 0 ? rose : gold
    c.lineWidth = mix(7, 1, age / 2)
    circle(c, width / 2, y, 130 + outExpo(age / 2) * 420)
    c.stroke()
  }
  c.globalAlpha = 1
  drawSun(c, { x: width / 2, y, radius, beat, rays: span(beat, 0.5, 0.8), spread: 0.75 })
  if (fold < 1) {
    inside(c, () => {
      circle(c, width / 2, y, radius)
      c.clip()
      c.globalAlpha = 1 - fold
      flood(c, gradient(c, dawn, [0, 0, width, 0]))
    })
  }

  const word = "helios-infra"
  const size = 128
  setFont(c, size, 800)
  const advance = [...word].map((_, index) => c.measureText(word.slice(0, index)).width)
  const left = (width - c.measureText(word).width) / 2
  for (const [index, letter] of [...word].entries()) {
    const age = beat - (0.5 + index * 0.083)
    if (age < 0) continue
    const up = outExpo(clamp(age / 0.8))
    const wave = pulse(beat - 0.05 * index) * span(beat, 2, 0.1)
    inside(c, () => {
      c.beginPath()
      c.rect(0, 430, width, 150)
      c.clip()
      write(c, letter, left + (advance[index] ?? 0), 543 + (1 - up) * 150, {
        size,
        weight: mix(100, 800, up) - 300 * wave,
        color: index < 6 ? gold : cream
      })
    })
  }

  const tag = outExpo(span(beat, 2, 1))
  c.globalAlpha = tag
  write(c, "one video, many machines, no seam", width / 2, 626, {
    size: 30,
    weight: 450,
    color: cream,
    align: "center",
    tracking: mix(14, 2.5, tag)
  })
  c.globalAlpha = 1
}

const scenes = [sunrise, oneLongRender, cutInEight, noSeam, name]

// ---------------------------------------------------------------------------
// The whole
// ---------------------------------------------------------------------------

/** Draws the film's edge: how far it is. @param {Context} c @param {number} time */
const drawEdge = (c, time) => {
  c.fillStyle = ink
  c.fillRect(0, height, width, edge)
  const left = 280
  const right = width - 24
  c.fillStyle = plum
  c.fillRect(left, height + edge / 2 - 1, right - left, 3)
  c.fillStyle = cream
  c.fillRect(left, height + edge / 2 - 1, (right - left) * clamp(time / seconds), 3)
}

/**
 * Draws the film as it is at a time.
 * @param {Context} c @param {number} time in seconds
 */
export const draw = (c, time) => {
  // A hair more than the time, so that a beat's own frame is never taken for the one before.
  const beat = time * beatsPerSecond + 1e-9
  const index = Math.min(scenes.length - 1, Math.floor(beat / 4))
  c.textBaseline = "alphabetic"
  c.setTransform(c.canvas.width / width, 0, 0, c.canvas.height / (height + edge), 0, 0)
  inside(c, () => scenes[index]?.(c, beat - index * 4))
  drawEdge(c, time)
}
