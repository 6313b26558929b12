/**
 * What a (StreamID, SubstreamID) means right now: its STE and CD, worked out to what the hot path needs. Made from the
 * configuration caches and thrown away with them. IHI 0070 §3.17 for the tags.
 */
import { EVENT } from '@smmu/spec';
import type { ContextConfig } from './cd.ts';
import { ACCESS_EXECUTE, ACCESS_PRIVILEGED, type Fault } from './fault.ts';
import { CONFIG_BYPASS, CONFIG_NESTED, CONFIG_S1, StreamConfig } from './ste.ts';
import { CLASS_OF_SHIFT, META_ASET, META_CLASS_SHIFT, PAGE_MASK } from './tagCache.ts';
import { TagNumbers, WORLD_EL1, WORLD_EL2 } from './tagNumbers.ts';

export const KIND_ABORT = 0;
export const KIND_BYPASS = 1;
export const KIND_S1 = 2;
export const KIND_S2 = 3;
export const KIND_NESTED = 4;

export class Context {
  readonly sid: number;
  readonly ssid: number;
  readonly ste: StreamConfig;
  readonly cd: ContextConfig | null;
  readonly kind: number;
  readonly nested: boolean;
  /** Two address ranges and two privilege levels: every world but EL2 without E2H. */
  readonly twoRanges: boolean;
  /** Tag number, that of its global entries, and META_ASET for those. */
  readonly number: number;
  readonly globalNumber: number;
  readonly aset: number;
  /** Class of the page size that is tried first, what of `page` names such a page, what of an address lies inside. */
  readonly pageClass: number;
  readonly pageMask: number;
  readonly offsetMask: number;
  /** The constant part of a tag's `meta` for such pages. */
  readonly meta: number;
  /** Something about it is out of the ordinary: overrides, top byte ignored, unprivileged access barred. */
  readonly special: boolean;
  /** The access bits that remain, and those that are added: PRIVCFG and INSTCFG. */
  readonly accessAnd: number;
  readonly accessOr: number;

  /** @param cd - Null if stage 1 takes no part. */
  constructor(sid: number, ssid: number, ste: StreamConfig, cd: ContextConfig | null, numbers: TagNumbers) {
    this.sid = sid;
    this.ssid = ssid;
    this.ste = ste;
    this.cd = cd;
    this.kind = kindOf(ste, cd);
    this.nested = this.kind === KIND_NESTED;
    this.twoRanges = ste.world !== WORLD_EL2;
    const vmid = ste.world === WORLD_EL1 ? ste.vmid : 0;
    this.number = cd === null ? ste.s2Number : numbers.of(ste.world, cd.asid, vmid);
    this.globalNumber = cd === null ? ste.s2Number : numbers.of(ste.world, 0, vmid);
    this.aset = cd?.aset ? META_ASET : 0;
    const own = cd === null ? ste.range2 : cd.range0.walkable ? cd.range0 : cd.range1;
    const shift = this.nested ? Math.min(own.granuleShift, ste.range2.granuleShift) : own.granuleShift;
    this.pageClass = CLASS_OF_SHIFT[shift]!;
    this.pageMask = PAGE_MASK[this.pageClass]!;
    this.offsetMask = 2 ** shift - 1;
    this.meta = this.number | (this.pageClass << META_CLASS_SHIFT);
    this.accessAnd = (ste.privCfg === 2 ? ~ACCESS_PRIVILEGED : ~0) & (ste.instCfg === 2 ? ~ACCESS_EXECUTE : ~0);
    this.accessOr = (ste.privCfg === 3 ? ACCESS_PRIVILEGED : 0) | (ste.instCfg === 3 ? ACCESS_EXECUTE : 0);
    this.special =
      this.kind <= KIND_BYPASS ||
      this.accessAnd !== ~0 ||
      this.accessOr !== 0 ||
      (cd !== null && (cd.range0.tbi || cd.range1.tbi || cd.range0.e0pd || cd.range1.e0pd));
  }

  /** The upper word of an input address with the top byte as top-byte-ignore makes it. */
  strip(hi: number): number {
    if (this.cd === null) return hi;
    const upper = (hi & 0x80_0000) !== 0 && this.twoRanges;
    if (!(upper ? this.cd.range1 : this.cd.range0).tbi) return hi;
    return upper ? hi | 0xff00_0000 : hi & 0x00ff_ffff;
  }
}

function kindOf(ste: StreamConfig, cd: ContextConfig | null): number {
  if (ste.config < CONFIG_BYPASS) return KIND_ABORT;
  if (cd !== null) return ste.config === CONFIG_NESTED ? KIND_NESTED : KIND_S1;
  return ste.config === CONFIG_BYPASS || ste.config === CONFIG_S1 ? KIND_BYPASS : KIND_S2;
}

/** What nobody's transaction matches: fills the empty places of the context cache. */
export const NO_CONTEXT: Context = new Context(-1, -2, new StreamConfig(-1), null, new TagNumbers());

/** How a fault of a stream ends. IHI 0070 §3.12, §5.5. */
export const END_ABORT = 0;
export const END_ZERO = 1;
export const END_STALL = 2;

/** What follows from a fault: {@link END_ABORT}, reads as zero and writes ignored, or a stall. */
export function endOf(fault: Fault, ste: StreamConfig | null, cd: ContextConfig | null): number {
  if (!fault.configurable || ste === null) return END_ABORT;
  if (fault.stage2) return ste.s2S ? END_STALL : END_ABORT;
  if (cd === null) return END_ABORT;
  return cd.s ? END_STALL : cd.a ? END_ABORT : END_ZERO;
}

/** Whether a fault that does not stall leaves a record. RECINVSID is the register file's to know. */
export function isRecorded(
  fault: Fault,
  ste: StreamConfig | null,
  cd: ContextConfig | null,
  recordInvalidSid: boolean,
): boolean {
  if (fault.code === 0) return false;
  if (fault.code === EVENT.C_BAD_STREAMID) return recordInvalidSid;
  if (!fault.configurable || ste === null) return true;
  return fault.stage2 ? ste.s2R : (cd?.r ?? true);
}
