/** Fields of structures as random scenarios fill them: legal noise, and one field made unusual or illegal, with its tag. */
import {
  AF,
  type CdValues,
  NG,
  READ_ONLY,
  S1_RW,
  S2_READ,
  S2_RW,
  S2_WRITE,
  type SteValues,
  USER,
} from '../scene/bits.ts';
import type { Scene, Tree } from '../scene/scene.ts';
import type { Draw } from './draw.ts';

/** STE fields that do not count for streams that pass or abort. */
export function noise(d: Draw): SteValues {
  if (d.chance(60)) return {};
  return {
    S1CDMax: d.below(32),
    S1STALLD: d.below(2),
    S2T0SZ: d.below(64),
    S2TG: d.below(4),
    S2AA64: d.below(2),
    S2VMID: d.below(65536),
  };
}

/** One field of a CD made unusual. */
export function badCd(d: Draw, s: Scene, tree: Tree): CdValues {
  const upper = tree.upper;
  const ttb = upper ? 'TTB1' : 'TTB0';
  const change = d.pick<[string, CdValues]>([
    ['V', { V: 0 }],
    ['AA64', { AA64: 0 }],
    ['A', { A: 0 }],
    ['S', { S: 1 }],
    ['HA', { HA: 1 }],
    ['HD', { HD: 1 }],
    ['ENDI', { ENDI: 1 }],
    ['TxSZ', { [upper ? 'T1SZ' : 'T0SZ']: d.pick([0, 1, 15, 40, 41, 63]) }],
    ['TGx', { [upper ? 'TG1' : 'TG0']: upper ? 0 : 3 }],
    ['TTB', { [ttb]: (2n ** 43n) << BigInt(d.below(9)) }],
    ['EPD', { EPD0: 1, EPD1: 1 }],
    [
      'other-half',
      upper
        ? { EPD0: 0, T0SZ: d.below(64), TG0: d.below(4), TTB0: s.table(65536) }
        : { EPD1: 0, T1SZ: d.below(64), TG1: d.below(4), TTB1: s.table(65536) },
    ],
  ]);
  s.tag(`CD.${change[0]}`);
  return change[1];
}

/** One field of an STE made unusual; `config` says for which stages. */
export function badSte(d: Draw, s: Scene, config: number): SteValues {
  const changes: [string, SteValues][] = [
    ['V', { V: 0 }],
    ['S1CDMax', { S1CDMax: d.between(1, 31) }],
    ['S1STALLD', { S1STALLD: 1 }],
    ['Config', { Config: config === 7 ? d.pick([0, 1, 2, 3, 5, 6]) : d.below(4) }],
    ['S1DSS', { S1DSS: d.below(4) }],
    ['S1Fmt', { S1Fmt: d.below(4) }],
    ['STRW', { STRW: d.below(4) }],
    ['EATS', { EATS: d.below(4) }],
    [
      'attributes',
      {
        MTCFG: 1,
        MemAttr: d.below(16),
        SHCFG: d.below(4),
        PRIVCFG: d.below(4),
        INSTCFG: d.below(4),
        NSCFG: d.below(4),
      },
    ],
  ];
  if (config === 5)
    changes.push(
      ['S1ContextPtr', { S1ContextPtr: 2n ** BigInt(d.between(44, 51)) }],
      ['S2-unused', { S2T0SZ: d.below(64), S2TG: 3, S2S: 1, S2HA: 1 }],
    );
  if (config >= 6)
    changes.push(
      ['S2T0SZ', { S2T0SZ: d.pick([0, 12, 15, 16, 19, 20, 39, 40, 63]) }],
      ['S2SL0', { S2SL0: d.below(4) }],
      ['S2TG', { S2TG: 3 }],
      ['S2PS', { S2PS: d.below(8) }],
      ['S2ENDI', { S2ENDI: 1 }],
      ['S2S', { S2S: 1 }],
      ['S2HA', { S2HA: 1 }],
      ['S2HD', { S2HD: 1 }],
      ['S2TTB', { S2TTB: 2n ** BigInt(d.between(44, 51)) }],
      ['S2PTW', { S2PTW: 1 }],
      ['S2FWB', { S2FWB: 1 }],
    );
  if (config >= 6 && d.chance(2)) changes.splice(0, changes.length, ['S2AA64', { S2AA64: 0 }]);
  const change = d.pick(changes);
  s.tag(`STE.${change[0]}`);
  return change[1];
}

/** What a stage 1 leaf has besides its address and type. */
export function attributes1(d: Draw, s: Scene): bigint {
  let bits = S1_RW;
  if (d.chance(25)) bits |= READ_ONLY;
  if (d.chance(6)) {
    bits &= ~USER;
    s.tag('no-user');
  }
  if (d.chance(8)) {
    bits &= ~AF;
    s.tag('no-access-flag');
  }
  if (d.chance(15)) bits &= ~NG;
  if (d.chance(20)) bits |= d.bits(2) << 53n;
  if (d.chance(15)) bits |= d.bits(4) << 55n;
  if (d.chance(10)) bits = (bits & ~(3n << 8n)) | (d.pick([0n, 2n, 3n]) << 8n);
  if (d.chance(10)) bits |= d.bits(3) << 2n;
  return bits;
}

/** What a stage 2 leaf has. */
export function attributes2(d: Draw, s: Scene): bigint {
  let bits = S2_RW;
  if (d.chance(20)) bits &= ~S2_WRITE;
  if (d.chance(15)) {
    bits &= ~S2_READ;
    s.tag('write-only');
  }
  if (d.chance(8)) {
    bits &= ~AF;
    s.tag('no-access-flag');
  }
  if (d.chance(15)) bits |= d.bits(2) << 53n;
  return bits;
}
