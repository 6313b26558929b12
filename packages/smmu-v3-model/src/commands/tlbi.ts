/**
 * TLB invalidation of the Non-secure worlds. IHI 0070 §4.4; Linux arm_smmu_tlb_inv_range_domain,
 * arm_smmu_cmdq_build_cmd.
 */
import { CMD_TLBI_NH_VA, OPCODE } from '@smmu/spec';
import type { ModelFeatures } from '../features.ts';
import { ANY_ASID, type Span } from '../invalidate.ts';
import { topOf } from '../tagCache.ts';
import { WORLD_E2H, WORLD_EL1, WORLD_EL2 } from '../tagNumbers.ts';
import type { CommandTarget, Handler } from './command.ts';

// All commands of the family have their fields in the same places (§4.4).
const { VMID, ASID, Addr, Leaf, TG, TTL, NUM, SCALE } = CMD_TLBI_NH_VA;
const TG_16K = 2;
/** 2^52 pages of 4 KiB: no range reaches further. */
const ALL_BYTES = 2 ** 64;

/** The level hint that counts: none without a granule, and the 16 KiB granule has no level 1 leaves without DS. */
function effectiveTtl(words: Uint32Array, base: number, f: ModelFeatures): number {
  const tg = TG.get(words, base);
  const ttl = TTL.get(words, base);
  return tg === TG_16K && ttl === 1 && !f.ds ? 0 : ttl;
}

/** By-address commands: a granule without any range or level is illegal (§4.4.1). */
function isRangeLegal(words: Uint32Array, base: number, f: ModelFeatures): boolean {
  if (!f.rangeInv || TG.get(words, base) === 0) return true;
  return NUM.get(words, base) !== 0 || SCALE.get(words, base) !== 0 || effectiveTtl(words, base, f) !== 0;
}

/** Bit 55 stands for the bits above it, as under top-byte-ignore. */
const signExtended = (hi: number): number => (hi << 8) >> 8;

/** Reads which addresses a by-address command covers. */
function readSpan(words: Uint32Array, base: number, f: ModelFeatures, span: Span, isIpa: boolean): void {
  const lo = Addr.getLo(words, base);
  const raw = Addr.getHi(words, base);
  const hi = isIpa ? raw & 0xff_ffff : signExtended(raw);
  span.page = (lo >>> 12) | (hi << 20);
  span.top = topOf(hi);
  span.leaf = Leaf.get(words, base);
  const tg = f.rangeInv ? TG.get(words, base) : 0;
  span.tg = tg;
  span.bytes = 0;
  span.ttl = 0;
  if (tg === 0) return;
  span.ttl = effectiveTtl(words, base, f);
  const scale = Math.min(39, f.ds ? SCALE.get(words, base) : SCALE.get(words, base) & 31);
  const granule = 2 ** (10 + 2 * tg);
  span.bytes = Math.min(ALL_BYTES, (NUM.get(words, base) + 1) * 2 ** scale * granule);
}

/** VMIDs are tags only with stage 2; 8-bit ones have no upper byte. */
function vmidOf(words: Uint32Array, base: number, f: ModelFeatures): number {
  if (!f.stage2) return 0;
  return VMID.get(words, base) & (f.vmid16 ? 0xffff : 0xff);
}

const asidOf = (words: Uint32Array, base: number, f: ModelFeatures): number =>
  ASID.get(words, base) & (f.asid16 ? 0xffff : 0xff);

const hasStage1 = (_: Uint32Array, _base: number, f: ModelFeatures): boolean => f.stage1;
const hasStage2 = (_: Uint32Array, _base: number, f: ModelFeatures): boolean => f.stage2;
const hasHyp = (_: Uint32Array, _base: number, f: ModelFeatures): boolean => f.hyp;

/** CMD_TLBI_EL2_VA and VAA: of the world that CR2.E2H chooses. */
function el2Address(words: Uint32Array, base: number, target: CommandTarget, asid: number): void {
  readSpan(words, base, target.features, target.span, false);
  target.invalidator.address(target.e2h ? WORLD_E2H : WORLD_EL2, 0, target.e2h ? asid : 0, target.span);
}

export const tlbi: readonly Handler[] = [
  {
    opcode: OPCODE.CMD_TLBI_NH_ALL,
    deferrable: true,
    legal: hasStage1,
    run: (words, base, { features, invalidator }) => invalidator.stage1OfVmid(vmidOf(words, base, features)),
  },
  {
    opcode: OPCODE.CMD_TLBI_NH_ASID,
    deferrable: true,
    legal: hasStage1,
    run: (words, base, { features, invalidator }) =>
      invalidator.asid(WORLD_EL1, vmidOf(words, base, features), asidOf(words, base, features)),
  },
  {
    opcode: OPCODE.CMD_TLBI_NH_VA,
    deferrable: true,
    legal: (words, base, f) => f.stage1 && isRangeLegal(words, base, f),
    run(words, base, { features, invalidator, span }) {
      const vmid = vmidOf(words, base, features);
      const asid = asidOf(words, base, features);
      if (TG.get(words, base) === 0) {
        const lo = Addr.getLo(words, base);
        const hi = signExtended(Addr.getHi(words, base));
        if (invalidator.page(WORLD_EL1, vmid, asid, (lo >>> 12) | (hi << 20), topOf(hi), Leaf.get(words, base))) return;
      }
      readSpan(words, base, features, span, false);
      invalidator.address(WORLD_EL1, vmid, asid, span);
    },
  },
  {
    opcode: OPCODE.CMD_TLBI_NH_VAA,
    deferrable: true,
    legal: (words, base, f) => f.stage1 && isRangeLegal(words, base, f),
    run(words, base, { features, invalidator, span }) {
      readSpan(words, base, features, span, false);
      invalidator.address(WORLD_EL1, vmidOf(words, base, features), ANY_ASID, span);
    },
  },
  {
    opcode: OPCODE.CMD_TLBI_EL2_ALL,
    deferrable: true,
    legal: hasHyp,
    run: (_words, _base, { invalidator }) => invalidator.allEl2(),
  },
  {
    opcode: OPCODE.CMD_TLBI_EL2_ASID,
    deferrable: true,
    legal: hasHyp,
    run: (words, base, { features, invalidator }) => invalidator.asid(WORLD_E2H, 0, asidOf(words, base, features)),
  },
  {
    opcode: OPCODE.CMD_TLBI_EL2_VA,
    deferrable: true,
    legal: (words, base, f) => f.hyp && isRangeLegal(words, base, f),
    run: (words, base, target) => el2Address(words, base, target, asidOf(words, base, target.features)),
  },
  {
    opcode: OPCODE.CMD_TLBI_EL2_VAA,
    deferrable: true,
    legal: (words, base, f) => f.hyp && isRangeLegal(words, base, f),
    run: (words, base, target) => el2Address(words, base, target, ANY_ASID),
  },
  {
    opcode: OPCODE.CMD_TLBI_S12_VMALL,
    deferrable: true,
    legal: hasStage2,
    run: (words, base, { features, invalidator }) => invalidator.vmid(vmidOf(words, base, features)),
  },
  {
    opcode: OPCODE.CMD_TLBI_S2_IPA,
    deferrable: true,
    legal: (words, base, f) => f.stage2 && isRangeLegal(words, base, f),
    run(words, base, { features, invalidator, span }) {
      readSpan(words, base, features, span, true);
      invalidator.ipa(vmidOf(words, base, features), span);
    },
  },
  {
    opcode: OPCODE.CMD_TLBI_NSNH_ALL,
    deferrable: true,
    legal: () => true,
    run: (_words, _base, { invalidator }) => invalidator.allEl1(),
  },
];
