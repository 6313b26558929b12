/**
 * Invalidation of translations: by ASID or VMID, by range, of the SMMU's TLB and of the devices' own caches.
 * IHI 0070 §4.4 and §4.5.1; Linux arm-smmu-v3.c, "IO_PGTABLE API" and `arm_smmu_domain_inv_range`.
 *
 * The TLB goes first and is waited for, then the ATCs: else a device could fetch a stale translation again.
 */
import type { Iova } from '@smmu/platform';
import { OPCODE } from '@smmu/spec';
import { ATC_INV_ALL, type AtcSpan, atcInv, atcSpan } from './commands/atcInv.ts';
import { tlbiEl2Asid } from './commands/tlbiEl2Asid.ts';
import { tlbiNhAsid } from './commands/tlbiNhAsid.ts';
import { tlbiS12Vmall } from './commands/tlbiS12Vmall.ts';
import { TlbiVa } from './commands/tlbiVa.ts';
import type { SmmuDevice } from './device.ts';
import { INV_ASID, INV_ATS, INV_ATS_FULL, INV_VMID, type Inv, type Invs } from './invs.ts';
import type { GranuleShift } from './probe.ts';

const EVERYTHING: AtcSpan = { address: 0, log2Pages: ATC_INV_ALL };
const MAX_NUM = 31;
/** Pages from which on a range is not worth its commands; NUM * 2^SCALE reaches that far without IDR5.DS. */
const MAX_RANGE_PAGES = 2 ** 31;

/** What a range invalidation is about. One record is filled and used again. */
export interface InvalidationRange {
  start: Iova;
  /** Inclusive. */
  last: Iova;
  /** Bytes of the pages or blocks that were mapped there. */
  granuleBytes: number;
  /** Log2 of the smallest page of the tables. */
  tableShift: GranuleShift;
  /** Only leaf entries changed. */
  leaf: boolean;
}

/** Invalidates on one SMMU. */
export class Invalidator {
  readonly #smmu: SmmuDevice;
  readonly #command: TlbiVa = new TlbiVa();

  constructor(smmu: SmmuDevice) {
    this.#smmu = smmu;
  }

  /** Drops all that the TLB holds under an ASID, and waits. */
  asid(asid: number): void {
    this.#addAsid(asid);
    this.#smmu.cmdq.sync();
  }

  /** Drops all that the TLB holds under a VMID, and waits. */
  vmid(vmid: number): void {
    this.#addVmid(vmid);
    this.#smmu.cmdq.sync();
  }

  /** Drops everything that one entry of a list stands for, and waits: its last user has gone. */
  entry(inv: Inv): void {
    if (inv.kind === INV_ASID) this.asid(inv.id);
    else if (inv.kind < INV_ATS) this.vmid(inv.id);
    else this.atc(inv.id, inv.ssid, EVERYTHING);
  }

  /** Drops a span of a device's own cache, and waits. */
  atc(sid: number, ssid: number, span: AtcSpan = EVERYTHING): void {
    const { cmdq } = this.#smmu;
    const at = cmdq.next();
    atcInv(cmdq.words, at, sid, ssid, span);
    cmdq.sync();
  }

  /** Drops everything of a domain, and waits. */
  all(invs: Invs): void {
    if (invs.length === 0) return;
    this.#tlbAll(invs);
    this.#atcs(invs, EVERYTHING);
  }

  /**
   * Drops a range of a domain's input addresses, and waits.
   * @param tlbToo - False if only the devices' caches need it, because the TLB hears the CPUs' broadcasts.
   */
  range(invs: Invs, range: InvalidationRange, tlbToo: boolean): void {
    if (invs.length === 0) return; // no device is attached
    if (tlbToo) {
      if (this.#tooLong(range)) this.#tlbAll(invs);
      else this.#tlbRange(invs, range);
    }
    if (invs.hasAts) this.#atcs(invs, atcSpan(range.start, range.last));
  }

  /** Whether so many commands would be needed that one for the whole tag is cheaper (Linux CMDQ_MAX_TLBI_OPS). */
  #tooLong({ start, last, granuleBytes, tableShift }: InvalidationRange): boolean {
    const bytes = last - start + 1;
    return this.#smmu.features.rangeInv
      ? bytes >= MAX_RANGE_PAGES * (1 << tableShift)
      : bytes >= (1 << (tableShift - 3)) * granuleBytes;
  }

  #tlbAll(invs: Invs): void {
    for (let i = 0; i < invs.length; i++) {
      const inv = invs.entries[i]!;
      if (inv.kind >= INV_ATS) break;
      if (inv.users === 0) continue;
      if (inv.kind === INV_ASID) this.#addAsid(inv.id);
      else this.#addVmid(inv.id);
    }
    this.#smmu.cmdq.sync();
  }

  #tlbRange(invs: Invs, range: InvalidationRange): void {
    const command = this.#command;
    for (let i = 0; i < invs.length; i++) {
      const inv = invs.entries[i]!;
      if (inv.kind >= INV_ATS) break;
      if (inv.users === 0) continue;
      command.tag = inv.id;
      if (inv.kind === INV_ASID) command.opcode = this.#smmu.e2h ? OPCODE.CMD_TLBI_EL2_VA : OPCODE.CMD_TLBI_NH_VA;
      else if (inv.kind === INV_VMID) command.opcode = OPCODE.CMD_TLBI_S2_IPA;
      else {
        this.#addVmid(inv.id);
        continue;
      }
      command.leaf = range.leaf;
      if (this.#smmu.features.rangeInv) this.#addRange(command, range);
      else this.#addPages(command, range);
    }
    this.#smmu.cmdq.sync();
  }

  /** One command for each page or block. */
  #addPages(command: TlbiVa, { start, last, granuleBytes }: InvalidationRange): void {
    const { cmdq } = this.#smmu;
    command.tg = 0;
    command.ttl = 0;
    for (let address = start - (start % granuleBytes); address <= last; address += granuleBytes) {
      const at = cmdq.next();
      command.build(cmdq.words, at, address, 0, 0);
    }
  }

  /**
   * Range commands (IDR3.RIL). Each covers five bits of the page count: (NUM + 1) * 2^SCALE pages, where SCALE is the
   * place of the lowest one that is left. So n pages take one command for each group of five bits that is not zero.
   */
  #addRange(command: TlbiVa, { start, last, granuleBytes, tableShift, leaf }: InvalidationRange): void {
    const { cmdq } = this.#smmu;
    const pageBytes = 1 << tableShift;
    let address = start - (start % (leaf ? granuleBytes : pageBytes));
    let pages = Math.ceil((last + 1 - address) / pageBytes);
    if (leaf && granuleBytes > pageBytes)
      pages = Math.ceil(pages / (granuleBytes / pageBytes)) * (granuleBytes / pageBytes);
    command.tg = (tableShift - 10) / 2;
    if (leaf) command.ttl = 4 - (Math.round(Math.log2(granuleBytes)) - 3) / (tableShift - 3);
    else {
      // At which levels entries changed is not known. Without level NUM and SCALE must not both be zero (§4.4.1).
      command.ttl = 0;
      if ((pages & MAX_NUM) === 1) pages += 1;
    }
    while (pages > 0) {
      const scale = 31 - Math.clz32(pages & -pages);
      const count = (pages >>> scale) & MAX_NUM;
      const at = cmdq.next();
      command.build(cmdq.words, at, address, count - 1, scale);
      const covered = count << scale;
      address += covered * pageBytes;
      pages -= covered;
    }
  }

  #atcs(invs: Invs, span: AtcSpan): void {
    if (!invs.hasAts) return;
    const { cmdq } = this.#smmu;
    for (let i = 0; i < invs.length; i++) {
      const inv = invs.entries[i]!;
      if (inv.kind < INV_ATS || inv.users === 0) continue;
      const at = cmdq.next();
      atcInv(cmdq.words, at, inv.id, inv.ssid, inv.kind === INV_ATS_FULL ? EVERYTHING : span);
    }
    cmdq.sync();
  }

  #addAsid(asid: number): void {
    const { cmdq } = this.#smmu;
    const at = cmdq.next();
    if (this.#smmu.e2h) tlbiEl2Asid(cmdq.words, at, asid);
    else tlbiNhAsid(cmdq.words, at, asid);
  }

  #addVmid(vmid: number): void {
    const { cmdq } = this.#smmu;
    const at = cmdq.next();
    tlbiS12Vmall(cmdq.words, at, vmid);
  }
}
