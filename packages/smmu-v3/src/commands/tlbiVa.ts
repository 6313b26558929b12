/**
 * The commands that invalidate by address: CMD_TLBI_NH_VA (§4.4.2.4), CMD_TLBI_EL2_VA (§4.4.2.8) and CMD_TLBI_S2_IPA
 * (§4.4.3.1). They share their layout but for the tag, so one builder serves the three.
 */
import { CMD_TLBI_NH_VA, CMD_TLBI_S2_IPA, OPCODE } from '@smmu/spec';

const { NUM, SCALE, TTL, TG, ASID, Leaf } = CMD_TLBI_NH_VA;
const { VMID } = CMD_TLBI_S2_IPA;
const ADDRESS_MASK = CMD_TLBI_NH_VA.Addr.maskLo;

/** The part of a command by address that stays the same over a range. */
export class TlbiVa {
  /** Opcode: one of the three. */
  opcode: number = OPCODE.CMD_TLBI_NH_VA;
  /** ASID, or VMID for CMD_TLBI_S2_IPA. */
  tag = 0;
  /** Only last-level entries. */
  leaf = false;
  /** Granule encoding of the range form (1: 4 KiB, 2: 16 KiB, 3: 64 KiB), or 0 for one entry by address. */
  tg = 0;
  /** Level hint of the range form, or 0. */
  ttl = 0;

  /**
   * Builds one command.
   * @param address - Aligned down to 4 KiB.
   * @param num - Range multiplier minus one; 0 without range form.
   * @param scale - Range exponent; 0 without range form.
   */
  build(words: Uint32Array, at: number, address: number, num: number, scale: number): void {
    const tagShift = this.opcode === OPCODE.CMD_TLBI_S2_IPA ? VMID.shift : ASID.shift;
    words[at] = this.opcode | (num << NUM.shift) | (scale << SCALE.shift);
    words[at + 1] = this.tag << tagShift;
    words[at + 2] =
      (address & ADDRESS_MASK) | (this.tg << TG.shift) | (this.ttl << TTL.shift) | (this.leaf ? Leaf.mask : 0);
    words[at + 3] = address / 2 ** 32;
  }
}
