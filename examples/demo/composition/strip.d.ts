/** For the tests, which draw the strip without a browser. */
export declare const blockSize: number
export declare const blockCount: number
export declare const encodeStrip: (frame: number) => boolean[]
export declare const drawStrip: (context: CanvasRenderingContext2D, frame: number) => void
