import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { noise, Scratch } from '../test/scratch.ts';
import { InputFile } from './files.ts';
import { verify } from './verify.ts';

const scratch = new Scratch();
async function check(input: Uint8Array, output: Uint8Array) {
  writeFileSync(scratch.path('in'), input);
  writeFileSync(scratch.path('out'), output);
  const file = new InputFile(scratch.path('in'), 'in');
  try {
    return await verify(file, scratch.path('out'));
  } finally {
    file.close();
  }
}

describe('verify: inflates the output and compares it with the input', () => {
  const bytes = noise(700_000);
  const members = Buffer.concat([gzipSync(bytes.subarray(0, 300_000)), gzipSync(bytes.subarray(300_000))]);

  it('members in a row are one file', async () => {
    const result = await check(bytes, members);
    expect(result.problem).toBeUndefined();
    expect(result.outputBytes).toBe(members.length);
    expect(result.inputSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('an empty file', async () => {
    expect((await check(new Uint8Array(0), gzipSync(''))).problem).toBeUndefined();
  });

  it.each([
    [
      'a byte changed',
      () => [bytes.map((byte, i) => (i === 650_000 ? byte ^ 1 : byte)), members],
      /differs from the input/,
    ],
    ['a byte missing', () => [bytes, gzipSync(bytes.subarray(1))], /differs from the input/],
    [
      'the end missing',
      () => [bytes, gzipSync(bytes.subarray(0, 699_999))],
      /inflates to 699999 bytes instead of 700000/,
    ],
    ['a byte more', () => [bytes.subarray(0, 699_999), members], /more than the 699999 bytes/],
    ['a member cut short', () => [bytes, members.subarray(0, -1)], /unexpected end of file/],
    [
      'a wrong checksum',
      () => [bytes, Buffer.concat([members.subarray(0, -8), Buffer.alloc(8)])],
      /incorrect data check/,
    ],
    ['no gzip at all', () => [bytes, noise(1000)], /incorrect header check/],
    ['nothing', () => [bytes, new Uint8Array(0)], /unexpected end of file|instead of 700000/],
    [
      'something behind the last member',
      () => [bytes, Buffer.concat([members, Buffer.alloc(512)])],
      /follow the last gzip member/,
    ],
  ] as [string, () => [Uint8Array, Uint8Array], RegExp][])('%s', async (_, make, problem) => {
    expect((await check(...make())).problem).toMatch(problem);
  });
});
