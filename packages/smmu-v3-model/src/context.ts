/**
 * What a (StreamID, SubstreamID) means right now: its STE and CD, worked out to what the hot path needs. Made from the
 * configuration caches and thrown away with them. IHI 0070 §3.17 for the tags.
 */
import { EVENT } from '@smmu/spec';
import type { ContextConfig } from './cd.ts';
import { ACCESS_EXECUTE, ACCESS_PRIVILEGED, type Fault } from './fault.ts';
import { CONFIG_BYPASS, CONFIG_NESTED, CONFIG_S1, StreamConfig } from './ste.ts';
import { CLASS_OF_SHIFT, META_ASET, META_WORLD_SHIFT, WORLD_S2 } from './tagCache.ts';

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
  /** META_WORLD bits of a tag. */
  readonly world: number;
  /** META_ASET of a global tag. */
  readonly aset: number;
  /** ASID and VMID of a tag. */
  readonly id: number;
  /** Class of the page size that is tried first, and what of an address lies inside such a page. */
  readonly pageClass: number;
  readonly offsetMask: number;
  /** Something about it is out of the ordinary: overrides, top byte ignored, unprivileged access barred. */
  readonly special: boolean;
  /** The access bits that remain, and those that are added: PRIVCFG and INSTCFG. */
  readonly accessAnd: number;
  readonly accessOr: number;

  /** @param cd - Null if stage 1 takes no part. */
  constructor(sid: number, ssid: number, ste: StreamConfig, cd: ContextConfig | null) {
    this.sid = sid;
    this.ssid = ssid;
    this.ste = ste;
    this.cd = cd;
    this.kind = kindOf(ste, cd);
    this.nested = this.kind === KIND_NESTED;
    const world = this.kind === KIND_S2 ? WORLD_S2 : ste.world;
    this.world = world << META_WORLD_SHIFT;
    this.aset = cd?.aset ? META_ASET : 0;
    this.id = ((cd?.asid ?? 0) << 16) | (ste.world === 0 ? ste.vmid : 0);
    const shift =
      cd === null ? ste.range2.granuleShift : cd.range0.walkable ? cd.range0.granuleShift : cd.range1.granuleShift;
    this.pageClass = CLASS_OF_SHIFT[this.nested ? Math.min(shift, ste.range2.granuleShift) : shift]!;
    this.offsetMask = 2 ** (this.nested ? Math.min(shift, ste.range2.granuleShift) : shift) - 1;
    this.accessAnd = (ste.privCfg === 2 ? ~ACCESS_PRIVILEGED : ~0) & (ste.instCfg === 2 ? ~ACCESS_EXECUTE : ~0);
    this.accessOr = (ste.privCfg === 3 ? ACCESS_PRIVILEGED : 0) | (ste.instCfg === 3 ? ACCESS_EXECUTE : 0);
    this.special =
      this.accessAnd !== ~0 ||
      this.accessOr !== 0 ||
      (cd !== null && (cd.range0.tbi || cd.range1.tbi || cd.range0.e0pd || cd.range1.e0pd));
  }
}

function kindOf(ste: StreamConfig, cd: ContextConfig | null): number {
  if (ste.config < CONFIG_BYPASS) return KIND_ABORT;
  if (cd !== null) return ste.config === CONFIG_NESTED ? KIND_NESTED : KIND_S1;
  return ste.config === CONFIG_BYPASS || ste.config === CONFIG_S1 ? KIND_BYPASS : KIND_S2;
}

/** What nobody's transaction matches: fills the empty places of the context cache. */
export const NO_CONTEXT: Context = new Context(-1, -2, new StreamConfig(-1), null);

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
