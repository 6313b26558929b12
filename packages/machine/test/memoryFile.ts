import { IommuError } from '@smmu/platform';
import type { ResizableFile } from '../src/index.ts';

/** A file in memory. */
export class MemoryFile implements ResizableFile {
  readonly name: string;
  data: Uint8Array;
  /** Bytes beyond which a write fails, as on a full disk. */
  limit: number = Number.POSITIVE_INFINITY;
  /** Whether reads fail, as on a broken disk. */
  broken = false;

  constructor(name: string, data: Uint8Array = new Uint8Array(0)) {
    this.name = name;
    this.data = data;
  }
  get size(): number {
    return this.data.length;
  }
  resize(bytes: number): void {
    const data = new Uint8Array(bytes);
    data.set(this.data.subarray(0, bytes));
    this.data = data;
  }
  readPage(offset: number, target: Uint8Array): void {
    if (this.broken) throw new IommuError('EIO', `${this.name}: cannot be read`);
    target.set(this.data.subarray(offset, offset + target.length));
  }
  writePage(offset: number, source: Uint8Array): void {
    if (offset + source.length > this.limit) throw new IommuError('ENOSPC', `${this.name}: no space left`);
    this.data.set(source, offset);
  }
}

/** Bytes that a compressor finds something in, and others, from a seed. */
export function sampleBytes(length: number, seed = 1): Uint8Array {
  let state = seed >>> 0;
  return Uint8Array.from({ length }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (i >> 12) % 3 === 0 ? state >>> 24 : 97 + ((state >>> 28) & 7);
  });
}
