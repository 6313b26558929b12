import { gzipSync } from 'node:zlib';
import { GzipRun, type ResizableFile } from '@smmu/machine';
import { Random } from '@smmu/platform';
import type { Row } from '../row.ts';

const BYTES = 2 ** 26;
const CHUNK = 2 ** 18;

/** Text of words that repeat, about as compressible as source code. */
function text(): Uint8Array {
  const random = new Random(1);
  const letters = 'etaoinshrdlucmfwypvbgkjqxz';
  const word = () => Array.from({ length: 2 + random.below(8) }, () => letters[random.below(26)]).join('');
  const words = Array.from({ length: 4096 }, word);
  const bytes = Buffer.alloc(BYTES);
  for (let at = 0; at < BYTES; ) at += bytes.write(`${words[random.below(1 + random.below(4096))]} `, at, 'latin1');
  return bytes;
}

class MemoryFile implements ResizableFile {
  readonly name = 'memory';
  readonly #bytes: Uint8Array;
  size = 0;
  constructor(bytes: Uint8Array, size: number) {
    this.#bytes = bytes;
    this.size = size;
  }
  resize(size: number): void {
    this.size = size;
  }
  readPage(offset: number, target: Uint8Array): void {
    target.set(this.#bytes.subarray(offset, offset + target.length));
  }
  writePage(offset: number, source: Uint8Array): void {
    this.#bytes.set(source, offset);
  }
}

function engine(input: Uint8Array, output: Uint8Array): number {
  const member = gzipSync(input);
  output.set(member);
  return member.length;
}

export const gzipRows: readonly Row[] = [
  {
    name: 'smmu run gzip, 64 MiB, against zlib alone',
    goal: { timesReference: 1.5 },
    prepare() {
      const input = text();
      const space = new Uint8Array(2 * BYTES);
      return {
        operations: 1,
        round() {
          const files = { input: new MemoryFile(input, BYTES), output: new MemoryFile(space, 0) };
          const run = new GzipRun({ ...files, engine, memoryBytes: 2 ** 30, granule: '4k', jobBytes: CHUNK });
          while (run.step());
          const { tablePages } = run.finish().left;
          if (tablePages !== 0) throw new Error(`${tablePages} table pages are left`);
        },
        reference() {
          for (let at = 0; at < BYTES; at += CHUNK) gzipSync(input.subarray(at, at + CHUNK));
        },
      };
    },
  },
];
