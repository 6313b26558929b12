import { createHash, type Hash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import type { InputFile } from './files.ts';

/** What a comparison found. */
export interface Verification {
  /** Why the output is not right; `undefined` if it is. */
  readonly problem: string | undefined;
  readonly inputSha256: string;
  readonly outputSha256: string;
  readonly outputBytes: number;
}

/**
 * Inflates `output` and compares it with `input`, piece by piece, and takes the SHA-256 of both.
 * @param progress - Told how many bytes of the input have been compared.
 */
export async function verify(
  input: InputFile,
  output: string,
  progress: (bytes: number) => void = () => {},
): Promise<Verification> {
  const inputHash = createHash('sha256');
  const outputHash = createHash('sha256');
  const file = createReadStream(output, { highWaterMark: 2 ** 18 });
  const gunzip = createGunzip({ chunkSize: 2 ** 18 });
  const outputBytes = statSync(output).size;
  let comparing = true; // a stream that was given up may still have a piece to tell of
  file.on('data', (piece) => {
    if (comparing) outputHash.update(piece);
  });
  file.on('error', (error) => gunzip.destroy(error));
  file.pipe(gunzip);
  const compared = await compare(input, gunzip, inputHash, progress);
  comparing = false;
  file.destroy();
  // What is behind the last member would be ignored by an inflater: it has to have eaten everything.
  const consumed = (gunzip as unknown as { bytesWritten: number }).bytesWritten;
  const problem =
    compared ?? (consumed === outputBytes ? undefined : `${outputBytes - consumed} bytes follow the last gzip member`);
  return {
    problem,
    inputSha256: inputHash.digest('hex'),
    outputSha256: outputHash.digest('hex'),
    outputBytes,
  };
}

async function compare(
  input: InputFile,
  inflated: AsyncIterable<Buffer>,
  hash: Hash,
  progress: (bytes: number) => void,
): Promise<string | undefined> {
  let offset = 0;
  let expected = Buffer.alloc(2 ** 18);
  try {
    for await (const piece of inflated) {
      if (offset + piece.length > input.size) return `it inflates to more than the ${input.size} bytes of the input`;
      if (piece.length > expected.length) expected = Buffer.alloc(piece.length);
      input.read(offset, expected, piece.length);
      const part = expected.subarray(0, piece.length);
      hash.update(part);
      if (!part.equals(piece)) return `it differs from the input in bytes ${offset} to ${offset + piece.length - 1}`;
      offset += piece.length;
      progress(offset);
    }
  } catch (error) {
    return (error as Error).message;
  }
  return offset === input.size ? undefined : `it inflates to ${offset} bytes instead of ${input.size}`;
}
