import { describe, expect, it } from 'vitest';
import { ConfigSpace, HEADER, PRI } from './index.ts';

function space() {
  const writes: [number, number][] = [];
  const config = new ConfigSpace((offset, value) => writes.push([offset, value]));
  config.allow(0, HEADER.MEMORY, HEADER.MASTER);
  config.allowClear(0, HEADER.REC_MASTER_ABORT);
  return { config, writes };
}

describe('ConfigSpace: each bit is read-only, writable, or cleared by writing 1 (PCIe §7.4)', () => {
  it('keeps read-only bits whatever is written', () => {
    const { config } = space();
    HEADER.VENDOR_ID.set(config.words, 0, 0x19e5);
    config.write(0, 4, 0xffff_ffff);
    expect(config.read(0, 2)).toBe(0x19e5);
    config.write(4, 4, 0xffff_ffff);
    expect(config.read(4, 4)).toBe(0x6);
  });

  it('clears a status bit that is written 1 and keeps one that is written 0', () => {
    const { config } = space();
    HEADER.REC_MASTER_ABORT.set(config.words, 0, true);
    config.write(6, 2, 0);
    expect(config.read(6, 2)).toBe(0x2000);
    config.write(6, 2, 0x2000);
    expect(config.read(6, 2)).toBe(0);
  });

  it('touches only the bytes of the access: a control register does not clear the status beside it', () => {
    const { config, writes } = space();
    HEADER.REC_MASTER_ABORT.set(config.words, 0, true);
    config.write(4, 2, 0xffff);
    expect(config.read(4, 4)).toBe(0x2000_0006);
    config.write(5, 1, 0xff);
    expect(config.read(4, 1)).toBe(6);
    expect(config.read(7, 1)).toBe(0x20);
    expect(writes).toEqual([
      [4, 0xffff],
      [4, 0xff00],
    ]);
  });

  it('returns to the sealed values on reset', () => {
    const { config } = space();
    PRI.MAX_REQ.set(config.words, 0x100 / 4, 32);
    config.seal();
    config.write(4, 4, 6);
    config.reset();
    expect(config.read(4, 4)).toBe(0);
    expect(config.read(0x108, 4)).toBe(32);
  });

  it.each([
    [1, 2],
    [2, 4],
    [-4, 4],
    [4096, 4],
    [4094, 4],
  ] as const)('EINVAL: access at %i of %i bytes', (offset, bytes) => {
    const { config } = space();
    expect(() => config.read(offset, bytes)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => config.write(offset, bytes, 0)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});
