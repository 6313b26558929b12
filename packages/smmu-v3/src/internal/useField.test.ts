import { CD, STE } from '@smmu/spec';
import { expect, it } from 'vitest';
import { useField } from './useField.ts';

it('adds the bits of a field to those in use', () => {
  const used = new Uint32Array(16);
  for (const field of [STE.V, STE.Config, STE.S1ContextPtr]) useField(used, field);
  expect([used[0], used[1]]).toEqual([0xffff_ffcf, 0x00ff_ffff]); // V 0, Config 3:1, S1ContextPtr 55:6
});
it('knows no field that crosses from word to word: no driver entry has one', () => {
  expect(() => useField(new Uint32Array(16), CD.PIIU10)).toThrow(/straddle/);
});
