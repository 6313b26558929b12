/** Broadcast TLB maintenance: IHI 0070 §3.17.2 to §3.17.5. */
import { describe, expect, it } from 'vitest';
import {
  CD_PLAIN,
  CDTAB,
  DATA,
  NG,
  Rig,
  type RigOptions,
  S2_PLAIN,
  S2_RW,
  STE_S1,
  STE_S2,
  STE_V,
  USER_RW,
} from '../test/rig.ts';
import type { Broadcast } from './btm.ts';

const BTM: RigOptions = { features: { btm: true } };

/**
 * Streams: 1 ASID 1, 2 ASID 2 of the SMMU's own set (ASET=1), 3 EL2 (or E2H with ASID 1), 4 stage 2 VMID 7. All map 0x1000;
 * 1 and 2 map 0x2000 globally.
 */
function dropped(operation: Broadcast, options: RigOptions = BTM): string[] {
  const rig = new Rig(options);
  const places: [string, number][] = [];
  const tables = [0, rig.table(), rig.table(), rig.table(), rig.table()];
  rig.cd(1, CD_PLAIN | (1n << 48n), BigInt(tables[1]!));
  rig.cd(2, CD_PLAIN | (1n << 47n) | (2n << 48n), BigInt(tables[2]!));
  rig.cd(3, CD_PLAIN | (1n << 48n), BigInt(tables[3]!));
  for (const sid of [1, 2, 3]) rig.ste(sid, STE_V | STE_S1 | BigInt(CDTAB + sid * 64), sid === 3 ? 2n << 30n : 0n);
  rig.ste(4, STE_V | STE_S2, 0n, S2_PLAIN | 7n, BigInt(tables[4]!));
  const page = (sid: number): number => DATA + sid * 0x1000;
  for (const sid of [1, 2, 3, 4])
    places.push([`${sid}`, rig.map(tables[sid]!, 0x1000n, BigInt(page(sid)) | (sid === 4 ? S2_RW : USER_RW))]);
  for (const sid of [1, 2])
    places.push([`${sid} global`, rig.map(tables[sid]!, 0x2000n, BigInt(page(sid)) | (USER_RW & ~NG))]);
  const look = (key: string): number => rig.translate(Number(key[0]), key.endsWith('global') ? 0x2000n : 0x1000n);
  for (const [key] of places) expect(look(key)).toBe(page(Number(key[0])));
  for (const [, place] of places) rig.put(place, rig.get(place) + 0x10_0000n);
  rig.model.broadcast(operation);
  return places.map(([key]) => key).filter((key) => look(key) !== page(Number(key[0])));
}

it.each<[Broadcast, string[]]>([
  [{ operation: 'ALLE1' }, ['1', '2', '4', '1 global', '2 global']],
  [{ operation: 'VMALLE1' }, ['1', '2', '1 global', '2 global']],
  [{ operation: 'VMALLE1', vmid: 7 }, []],
  [{ operation: 'VMALLS12E1', vmid: 7 }, ['4']],
  [{ operation: 'ASIDE1', asid: 1 }, ['1']],
  [{ operation: 'ASIDE1', asid: 2 }, []],
  [{ operation: 'VAE1', asid: 1, address: 0x1000n }, ['1']],
  [{ operation: 'VAE1', asid: 1, address: 0x1000n, leaf: true }, ['1']],
  [{ operation: 'VAE1', asid: 2, address: 0x1000n }, []],
  [{ operation: 'VAE1', asid: 9, address: 0x2000n }, ['1 global']],
  [{ operation: 'VAE1', asid: 1, address: 0n, bytes: 0x4000 }, ['1', '1 global']],
  [{ operation: 'VAE1', asid: 1, address: 0n, bytes: 2 ** 40 }, ['1', '1 global']],
  [{ operation: 'VAAE1', address: 0x1000n }, ['1', '2']],
  [{ operation: 'IPAS2E1', vmid: 7, address: 0x1000n }, ['4']],
  [{ operation: 'ALLE2' }, ['3']],
  [{ operation: 'VAE2', address: 0x1000n }, ['3']],
  [{ operation: 'VAAE2', address: 0x1000n }, ['3']],
  [{ operation: 'ASIDE2', asid: 1 }, []],
])('%o drops %o', (operation, expected) => {
  expect(dropped(operation)).toEqual(expected);
});

describe('E2H', () => {
  const E2H: RigOptions = { ...BTM, cr2: 3 };
  it.each<[Broadcast, string[]]>([
    [{ operation: 'ASIDE2', asid: 1 }, ['3']],
    [{ operation: 'VAE2', asid: 1, address: 0x1000n }, ['3']],
    [{ operation: 'VAE2', asid: 2, address: 0x1000n }, []],
    [{ operation: 'VAAE2', address: 0x1000n }, ['3']],
  ])('%o drops %o', (operation, expected) => {
    expect(dropped(operation, E2H)).toEqual(expected);
  });
});

it('table pointers of the SMMU’s own ASID set stay with ASIDE1', () => {
  for (const [aset, moved] of [
    [0n, true],
    [1n << 47n, false],
  ] as const) {
    const rig = new Rig(BTM);
    const ttb = rig.table();
    rig.cd(1, CD_PLAIN | aset | (1n << 48n), BigInt(ttb));
    rig.ste(1, STE_V | STE_S1 | BigInt(CDTAB + 64));
    rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
    expect(rig.translate(1, 0x1000n)).toBe(DATA);
    rig.put(ttb, 0n);
    rig.model.broadcast({ operation: 'VAE1', asid: 1, address: 0x1000n });
    expect(rig.translate(1, 0x1000n) < 0).toBe(moved);
  }
});

it('nothing happens without BTM, or with CR2.PTM=1', () => {
  expect(dropped({ operation: 'ALLE1' }, {})).toEqual([]);
  expect(dropped({ operation: 'ALLE1' }, { ...BTM, cr2: 6 })).toEqual([]);
});

it('an SMMU without stage 2 ignores VMIDs', () => {
  const rig = new Rig({ features: { btm: true, stage2: false } });
  const ttb = rig.stage1();
  const place = rig.map(ttb, 0x1000n, BigInt(DATA) | USER_RW);
  expect(rig.translate(1, 0x1000n)).toBe(DATA);
  rig.put(place, 0n);
  rig.model.broadcast({ operation: 'VMALLE1', vmid: 5 });
  expect(rig.translate(1, 0x1000n)).toBe(-0x10);
});
