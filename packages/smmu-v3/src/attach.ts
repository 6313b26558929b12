/**
 * Attaching: which domain the transactions of a device, or of one SubstreamID of it, are in.
 * Linux arm-smmu-v3.c, `arm_smmu_attach_dev`, `arm_smmu_set_pasid`, `arm_smmu_remove_dev_pasid`,
 * `arm_smmu_attach_dev_ste`.
 *
 * Order, so that the hardware may look at any moment: memory is taken first, for it may run out; then the new domain's
 * list learns of the device; then descriptor and stream table entry change, each from valid to valid where there is a
 * way; then the old domain's list forgets it, which invalidates what only this device had cached. ATS is switched off at
 * the device before its entry forbids it, and on after the entry allows it.
 */
import type { Device, Domain } from '@smmu/iommu';
import { IommuError } from '@smmu/platform';
import type { AsidTable, VmidTable } from './asid.ts';
import { CdWriter } from './cd.ts';
import type { CdTable } from './cdtab.ts';
import { cfgiCd } from './commands/cfgiCd.ts';
import type { SmmuDevice } from './device.ts';
import { type Attachment, type SmmuDomain, TranslatingDomain } from './domain.ts';
import type { Invalidator } from './invalidate.ts';
import { INV_ATS, type Inv, Invs } from './invs.ts';
import type { Master } from './master.ts';
import {
  makeAbortSte,
  makeBypassSte,
  makeCdtableSte,
  newSte,
  S1DSS_BYPASS,
  S1DSS_SSID0,
  S1DSS_TERMINATE,
  SteWriter,
} from './ste.ts';
import type { StreamTable } from './strtab.ts';

/** What attaching needs beside the SMMU. */
export interface AttacherOptions {
  readonly smmu: SmmuDevice;
  readonly strtab: StreamTable;
  readonly asids: AsidTable;
  readonly vmids: VmidTable;
  readonly invalidator: Invalidator;
  /** @throws {@link IommuError} `ENODEV` if the device has not been probed. */
  readonly masterOf: (device: Device) => Master;
  /** Empties the event queue and has all faults of a device's SubstreamID answered. */
  readonly drainFaults: (master: Master, ssid: number) => void;
  readonly cdtabLeaf: '4k' | '64k';
}

/** Attaches devices to domains on one SMMU. */
export class Attacher {
  readonly smmu: SmmuDevice;
  readonly asids: AsidTable;
  readonly vmids: VmidTable;
  readonly invalidator: Invalidator;
  readonly #strtab: StreamTable;
  readonly #masterOf: (device: Device) => Master;
  readonly #drainFaults: (master: Master, ssid: number) => void;
  readonly #cdtabLeaf: '4k' | '64k';
  readonly #ste: SteWriter;
  readonly #cd: CdWriter;
  readonly #target: Uint32Array = newSte();
  readonly #flush: (inv: Inv) => void;

  constructor(options: AttacherOptions) {
    const { smmu, invalidator } = options;
    this.smmu = smmu;
    this.asids = options.asids;
    this.vmids = options.vmids;
    this.invalidator = invalidator;
    this.#strtab = options.strtab;
    this.#masterOf = options.masterOf;
    this.#drainFaults = options.drainFaults;
    this.#cdtabLeaf = options.cdtabLeaf;
    this.#ste = new SteWriter(smmu.memory, smmu.coherence, smmu.cmdq);
    this.#cd = new CdWriter(smmu.memory, smmu.coherence, smmu.cmdq);
    this.#flush = (inv) => invalidator.entry(inv);
  }

  /**
   * Puts the transactions without SubstreamID of a device into a domain.
   *
   * @throws {@link IommuError} `ENODEV` if the device has not been probed, `EINVAL` if the domain is another SMMU's,
   *   `EBUSY` for stage 2 while SubstreamIDs are in use, `ENOMEM` if there is no memory for descriptors, `EIO` if the
   *   command queue is stuck. Nothing has changed then.
   */
  attachDevice(domain: SmmuDomain, device: Device): void {
    const master = this.#masterOf(device);
    const old = master.domain;
    if (old === domain) return;
    this.#check(domain);
    const translating = domain instanceof TranslatingDomain ? domain : undefined;
    if (domain.stage === 'stage2' && master.pasids.size > 0)
      throw new IommuError('EBUSY', `${device.name} has ${master.pasids.size} PASIDs attached, which need stage 1`);
    const table = domain.stage === 'stage1' ? this.#prepareCd(master, 0) : master.cdTable;

    // Stage 2 that stalls forbids full ATS (§5.2.2).
    const forbidden = domain.stage === 'stage2' && master.stall;
    const ats = master.ats !== undefined && !forbidden && (translating !== undefined || master.pasids.size > 0);
    this.#disableAts(master, ats);
    if (translating !== undefined) {
      this.#join(translating, master, 0, ats);
      if (domain.stage === 'stage1') this.#writeCd(translating, master, 0, table!);
    }
    master.domain = domain;
    this.#installSte(master, ats);
    if (domain.stage !== 'stage1' && table?.valid(0)) this.#clearCd(master, 0, table);
    this.#enableAts(master, ats);
    if (old instanceof TranslatingDomain) this.#leave(old, master, 0);
  }

  /**
   * Puts the transactions of a device with a SubstreamID into a domain, out of `old`.
   *
   * @throws {@link IommuError} `ENODEV` if the device has not been probed, `EINVAL` if the domain is not at stage 1 or
   *   another SMMU's, if the device has no such SubstreamID, or if its other transactions are at stage 2; `ENOMEM`,
   *   `EIO`. Nothing has changed then.
   */
  attachPasid(domain: TranslatingDomain, device: Device, ssid: number, old: Domain | undefined): void {
    const master = this.#masterOf(device);
    this.#check(domain);
    if (domain.stage !== 'stage1') throw new IommuError('EINVAL', 'a PASID needs a stage 1 domain');
    if (!Number.isInteger(ssid) || ssid < 1 || ssid >= 1 << master.ssidBits)
      throw new IommuError('EINVAL', `PASID ${ssid}: ${device.name} has ${master.ssidBits} bits behind this SMMU`);
    if (master.domain?.stage === 'stage2')
      throw new IommuError('EINVAL', `transactions of ${device.name} without PASID are at stage 2`);
    const table = this.#prepareCd(master, ssid);

    const first = master.pasids.size === 0 && master.domain?.stage !== 'stage1';
    const ats = master.ats !== undefined;
    this.#join(domain, master, ssid, ats);
    this.#writeCd(domain, master, ssid, table);
    master.pasids.set(ssid, domain);
    if (first) {
      this.#installSte(master, ats);
      this.#enableAts(master, ats);
    }
    if (old instanceof TranslatingDomain) this.#leave(old, master, ssid);
  }

  /** Takes a SubstreamID out of a domain. On return nothing of it is translated, cached, stalled or on its way. */
  detachPasid(domain: TranslatingDomain, device: Device, ssid: number): void {
    const master = this.#masterOf(device);
    this.#clearCd(master, ssid, master.cdTable!);
    master.pasids.delete(ssid);
    if (master.pasids.size === 0 && master.domain?.stage !== 'stage1') {
      this.#disableAts(master, false);
      this.#installSte(master, false);
    }
    this.#leave(domain, master, ssid);
    this.#drainFaults(master, ssid);
  }

  /** Aborts whatever a device still sends, as the table did before it was known. */
  block(master: Master): void {
    const old = master.domain;
    this.#disableAts(master, false);
    master.domain = undefined;
    this.#installSte(master, false);
    if (old instanceof TranslatingDomain) this.#leave(old, master, 0);
  }

  /** Lets a device's streams abort for the while, whatever domain it is in; {@link resume} ends that. */
  suspend(master: Master): void {
    makeAbortSte(this.#target);
    this.#writeStes(master);
  }

  /** Gives a device's streams the entries back that its domain asks for. */
  resume(master: Master): void {
    this.#installSte(master, master.atsEnabled);
  }

  /** Rewrites the descriptors of all of a domain's devices: what it says in them has changed. */
  rewriteCds(domain: TranslatingDomain): void {
    for (const { master, ssid } of domain.attachments) this.#writeCd(domain, master, ssid, master.cdTable!);
  }

  /** Rebuilds a domain's list: its tag has changed. */
  rebuildInvs(domain: TranslatingDomain): void {
    domain.invs = new Invs();
    for (const attachment of domain.attachments) {
      attachment.invs = this.#invsOf(domain, attachment.master, attachment.ssid, attachment.master.atsEnabled);
      domain.invs = domain.invs.merge(attachment.invs);
    }
  }

  #check(domain: SmmuDomain): void {
    if (domain.attacher !== this) throw new IommuError('EINVAL', 'the domain belongs to another SMMU');
    const { cmdq } = this.smmu;
    if (cmdq.stuck && !cmdq.sync())
      throw new IommuError('EIO', `${this.smmu.name}: the command queue is stuck; nothing can be attached`);
  }

  /** Makes sure that there is a descriptor. Its being empty may have been cached one level up. */
  #prepareCd(master: Master, ssid: number): CdTable {
    const fresh = master.cdTable === undefined;
    const table = master.needCdTable(this.smmu, this.#cdtabLeaf);
    let hungIn: boolean;
    try {
      hungIn = table.prepare(ssid);
    } catch (error) {
      if (fresh) master.freeCdTable();
      throw error;
    }
    if (hungIn)
      for (const sid of master.streamIds) {
        const at = this.smmu.cmdq.next();
        cfgiCd(this.smmu.cmdq.words, at, sid, ssid, false); // the write of the descriptor waits for it
      }
    return table;
  }

  #writeCd(domain: TranslatingDomain, master: Master, ssid: number, table: CdTable): void {
    this.#cd.owner = master;
    this.#cd.ssid = ssid;
    domain.makeCd(this.#target, master);
    this.#cd.write(table.entryAddress(ssid), this.#target);
  }

  #clearCd(master: Master, ssid: number, table: CdTable): void {
    this.#cd.owner = master;
    this.#cd.ssid = ssid;
    this.#cd.invalidate(table.entryAddress(ssid));
  }

  /** Writes the entries of a device's streams as its domain and its SubstreamIDs ask for. */
  #installSte(master: Master, ats: boolean): void {
    const { features, e2h } = this.smmu;
    const { domain } = master;
    const stage = domain?.stage ?? 'abort';
    if (domain instanceof TranslatingDomain && stage === 'stage2') domain.makeSte(this.#target, ats, master);
    else if (stage === 'stage1' || master.pasids.size > 0)
      makeCdtableSte(this.#target, {
        cdtab: master.cdTable!,
        s1dss: stage === 'stage1' ? S1DSS_SSID0 : stage === 'bypass' ? S1DSS_BYPASS : S1DSS_TERMINATE,
        ats,
        stall: master.stall,
        stallSelectable: features.stalls === 'selectable',
        e2h,
        pasidInResponses: master.pasidInResponses,
        attrTypesOverride: features.attrTypesOverride,
      });
    else if (stage === 'bypass') makeBypassSte(this.#target, features.attrTypesOverride);
    else makeAbortSte(this.#target);
    this.#writeStes(master);
  }

  #writeStes(master: Master): void {
    for (const sid of master.streamIds) {
      this.#ste.sid = sid;
      this.#ste.write(this.#strtab.entryAddress(sid), this.#target);
    }
  }

  #disableAts(master: Master, wanted: boolean): void {
    if (!master.atsEnabled || wanted) return;
    master.ats!.disableAts();
    master.atsEnabled = false;
  }

  /** Starts with an empty cache at the device (Linux `arm_smmu_enable_ats`). */
  #enableAts(master: Master, wanted: boolean): void {
    if (master.atsEnabled || !wanted) return;
    for (const sid of master.streamIds) this.invalidator.atc(sid, 0);
    try {
      master.ats!.enableAts(this.smmu.features.granules[0]!);
      master.atsEnabled = true;
    } catch (error) {
      if (!(error instanceof IommuError)) throw error;
      this.smmu.log(`failed to enable ATS of ${master.device.name}: ${error.message}`); // it works without
    }
  }

  #invsOf(domain: TranslatingDomain, master: Master, ssid: number, ats: boolean): Invs {
    if (!ats) return domain.tag;
    const entries: Inv[] = [domain.tag.entries[0]!];
    for (const sid of master.streamIds) entries.push({ kind: INV_ATS, id: sid, ssid, users: 1 });
    return new Invs(entries);
  }

  #join(domain: TranslatingDomain, master: Master, ssid: number, ats: boolean): void {
    const attachment: Attachment = { master, ssid, invs: this.#invsOf(domain, master, ssid, ats) };
    domain.attachments.push(attachment);
    domain.invs = domain.invs.merge(attachment.invs);
  }

  #leave(domain: TranslatingDomain, master: Master, ssid: number): void {
    const { attachments } = domain;
    let index = 0;
    while (attachments[index]!.master !== master || attachments[index]!.ssid !== ssid) index += 1;
    const attachment = attachments[index]!;
    attachments[index] = attachments[attachments.length - 1]!; // their order does not matter
    attachments.pop();
    domain.invs.unref(attachment.invs, this.#flush);
    domain.invs = domain.invs.purge();
  }
}
