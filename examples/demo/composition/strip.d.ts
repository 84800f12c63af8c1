export declare const blockSize: number
export declare const blockCount: number
export declare const encodeStrip: (frame: number) => boolean[]
export declare const drawStrip: (context: unknown, frame: number) => void
