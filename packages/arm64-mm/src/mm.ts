/**
 * A process's address space (Linux `struct mm_struct`, mm_types.h; kernel/fork.c `mmget_not_zero`, `mmput`).
 *
 * It lives as long as it has users: the process itself until {@link Mm.exit}, and whoever holds a {@link Mm.tryGet}.
 * When the last one goes, in this order: the notifiers' release (devices stop walking the tables), every page, every
 * table. The object stays readable afterwards; its ASID may still be pinned and is unpinned by whoever pinned it.
 */
import type { ArmPageTable } from '@smmu/io-pgtable-arm';
import type { IommuPages } from '@smmu/iommu-pages';
import { hex, IommuError, type Pa, type Scheduler, type Trace, type Va } from '@smmu/platform';
import { accessBytes } from './access.ts';
import { type AreaInfo, AreaList, type Protection } from './area.ts';
import { type AsidAllocator, AsidContext } from './asid.ts';
import { zapRange } from './entries.ts';
import { type Access, type FaultResult, handleFault } from './fault.ts';
import { copyMappings } from './fork.ts';
import { type MmapOptions, mmap, mprotect, msync, munmap } from './mmap.ts';
import { type MmuNotifier, MmuNotifierList } from './notifier.ts';
import { type CpuTlb, TlbGather } from './tlb.ts';
import type { Zone } from './zone.ts';

/** What all address spaces of a board have in common; for {@link Mm}'s constructor. */
export interface MmEnvironment {
  readonly zone: Zone;
  readonly pages: IommuPages;
  readonly asids: AsidAllocator;
  readonly granuleShift: 12 | 14 | 16;
  readonly vaBits: number;
  readonly maxAreas: number;
  readonly cpuTlb: CpuTlb | undefined;
  readonly scheduler: Scheduler;
  readonly trace: Trace | undefined;
  /** Those that have users. */
  readonly processes: Set<Mm>;
  newTables(): ArmPageTable;
}

/** An address space. {@link MemoryManager.createProcess} makes one. */
export class Mm {
  readonly name: string;
  /** Its ASID; for an {@link AsidAllocator}. */
  readonly context: AsidContext = new AsidContext();
  /** Pages that its tables name now. */
  residentPages = 0;
  /** log2 of a page's bytes. */
  readonly granuleShift: 12 | 14 | 16;
  /** Hardware may set access flags of its entries (CD.HA): they are read, never assumed. */
  readonly hardwareAccessFlag = true;
  /** Hardware may make its writable-clean entries writable (CD.HD): they are read before a page is held to be clean. */
  readonly hardwareDirty = true;

  // For the files of this package.
  readonly zone: Zone;
  readonly pages: IommuPages;
  readonly tables: ArmPageTable;
  readonly areas: AreaList;
  readonly notifiers: MmuNotifierList = new MmuNotifierList();
  readonly cpuTlb: CpuTlb | undefined;
  /** First address that it cannot have. */
  readonly vaEnd: Va;
  /** Its latest range in the batch that is being gathered, or -1. */
  batchIndex = -1;

  readonly #environment: MmEnvironment;
  #users = 1;
  #exited = false;

  /** @throws {@link IommuError} `ENOMEM` if there is no memory for the first-level table. */
  constructor(name: string, environment: MmEnvironment) {
    this.name = name;
    this.#environment = environment;
    this.zone = environment.zone;
    this.pages = environment.pages;
    this.cpuTlb = environment.cpuTlb;
    this.granuleShift = environment.granuleShift;
    this.vaEnd = 2 ** environment.vaBits;
    this.areas = new AreaList(environment.maxAreas);
    this.tables = this.zone.withReclaim(() => environment.newTables());
    environment.processes.add(this);
  }

  /** First-level table. */
  get root(): Pa {
    return this.tables.stage1.ttbr;
  }

  /** What a CPU's TTBR0, TCR and MAIR, or a CD, need to know of the tables, in the CD's encodings. */
  get stage1(): ArmPageTable['stage1'] {
    return this.tables.stage1;
  }

  /** Who keeps it alive: 1 for the process, 1 for each {@link tryGet}. */
  get users(): number {
    return this.#users;
  }

  /** Its areas, in order of address (as /proc/PID/maps). */
  *maps(): Generator<AreaInfo> {
    for (let i = 0; i < this.areas.count; i++) yield this.areas.at(i)!;
  }

  /**
   * Gives a range of addresses a meaning. Nothing becomes resident: the first access to each page faults.
   * @returns The first byte.
   * @throws {@link IommuError} `EINVAL` for a size that is no positive integer, a misaligned address or file offset, or a
   * file where none belongs or none where one does; `EEXIST` if something is at `address`; `ENOMEM` if there is no room,
   * or too many areas; `EPERM` below 64 KiB, or for a writable shared mapping of a read-only file; `EOVERFLOW` if the
   * file offsets pass 2^53; `ESRCH` after the end.
   * @see Linux `do_mmap`, mm/mmap.c
   */
  mmap(options: MmapOptions): Va {
    this.#enter();
    return mmap(this, options);
  }

  /**
   * Takes the meaning away again, of whole areas or parts of them; where nothing is mapped, nothing happens. Pages of a
   * file stay cached while anybody maps the file; with its last area the dirty ones are written back.
   * @param va - First byte, a multiple of the granule.
   * @param bytes - Rounded up to the granule.
   * @throws {@link IommuError} `EINVAL` if misaligned, empty or beyond the last address; `ENOMEM` if a hole would make too
   * many areas; `ESRCH` after the end.
   * @see Linux `do_vmi_munmap`, mm/vma.c
   */
  munmap(va: Va, bytes: number): void {
    this.#enter();
    munmap(this, va, bytes);
  }

  /**
   * Changes what a range allows. Without any access its pages stay, but hardware finds them invalid.
   * @param va - First byte, a multiple of the granule.
   * @param bytes - Rounded up to the granule.
   * @throws {@link IommuError} `EINVAL` if misaligned, empty, beyond the last address or with a guard in it; `ENOMEM` if
   * something in the range is not mapped, or there would be too many areas; `EPERM` to make a shared mapping of a
   * read-only file writable; `ESRCH` after the end.
   * @see Linux `do_mprotect_pkey`, mm/mprotect.c
   */
  mprotect(va: Va, bytes: number, protection: Protection): void {
    this.#enter();
    mprotect(this, va, bytes, protection);
  }

  /**
   * Writes the dirty pages of shared file mappings in a range to their files. Anybody's next write to one faults.
   * @param va - First byte, a multiple of the granule.
   * @param bytes - Rounded up to the granule.
   * @throws {@link IommuError} `EINVAL` if misaligned, empty or beyond the last address; `ENOMEM` if something in the
   * range is not mapped; what the file threw (`EIO`, `ENOSPC`) if it took not all of them: those stay dirty; `ESRCH`
   * after the end.
   * @see Linux mm/msync.c
   */
  msync(va: Va, bytes: number): void {
    this.#enter();
    msync(this, va, bytes);
  }

  /**
   * Brings in the page for an access that hardware could not make, a CPU's or a device's.
   * @param va - Any byte of the page.
   * @returns `done` if the access may be tried again.
   * @throws {@link IommuError} `EDEADLK` from inside a callback.
   * @see Linux `handle_mm_fault`, mm/memory.c; `iommu_sva_handle_mm`, drivers/iommu/iommu-sva.c
   */
  handleFault(va: Va, access: Access): FaultResult {
    this.zone.checkUnlocked();
    const { trace, scheduler } = this.#environment;
    const start = scheduler.now;
    const result = this.#users === 0 ? 'badAddress' : handleFault(this, va, access);
    trace?.span('process', 'page fault', start, {
      process: this.name,
      address: hex(va),
      access: words(access),
      result,
    });
    return result;
  }

  /**
   * Loads as the process, faulting pages in.
   * @param va - First byte; any alignment.
   * @throws AccessError (`EFAULT`; `ENOMEM` when memory ran out) if the process may not, with the bytes before the
   * offending page copied; {@link IommuError} `EINVAL` if `target` is too small, `EAGAIN` if pages go as fast as they
   * come, `ESRCH` after the end.
   */
  readBytes(va: Va, target: Uint8Array, start = 0, length: number = target.length - start): void {
    this.#enter();
    accessBytes(this, va, target, start, length, false);
  }

  /** Stores as the process, faulting pages in. As {@link readBytes}. */
  writeBytes(va: Va, source: Uint8Array, start = 0, length: number = source.length - start): void {
    this.#enter();
    accessBytes(this, va, source, start, length, true);
  }

  /**
   * Makes a copy: same areas, same contents. Anonymous pages are shared until either side writes to them.
   * @throws {@link IommuError} `ENOMEM` if there is no memory for the copy's tables; `ESRCH` after the end.
   * @see Linux `dup_mm`, kernel/fork.c
   */
  fork(name: string): Mm {
    this.#enter();
    const child = new Mm(name, this.#environment);
    try {
      copyMappings(this, child);
    } catch (error) {
      child.exit();
      throw error;
    }
    return child;
  }

  /**
   * Pins its ASID for a device's tables (Linux `arm64_mm_context_get`). It may be pinned beyond the end of the process.
   * @returns The ASID, or 0 if no more can be pinned.
   */
  pinAsid(): number {
    return this.#environment.asids.pin(this);
  }

  /**
   * Ends one {@link pinAsid} (Linux `arm64_mm_context_put`).
   * @throws {@link IommuError} `EINVAL` if it is not pinned.
   */
  unpinAsid(): void {
    this.#environment.asids.unpin(this);
  }

  /** Address of the level 3 entry of a page, -1 if there is none. Under SVA the process's VA is the tables' IOVA. */
  entryAt(va: Va, allocate: boolean): Pa {
    return this.tables.entryAt(va as number, allocate);
  }

  /** Becomes a user, unless there is none left (Linux `mmget_not_zero`). */
  tryGet(): boolean {
    if (this.#users === 0) return false;
    this.#users += 1;
    return true;
  }

  /**
   * Ends one {@link tryGet} (Linux `mmput`). The last user's ends the address space.
   * @throws {@link IommuError} `EINVAL` if every tryGet has ended, `EDEADLK` for the last user from inside a callback.
   */
  put(): void {
    if (this.#users === (this.#exited ? 0 : 1))
      throw new IommuError('EINVAL', `put of ${this.name}, which nobody holds`);
    this.#drop();
  }

  /**
   * The process exits: it is a user no longer. A second time does nothing.
   * @throws {@link IommuError} `EDEADLK` for the last user from inside a callback.
   */
  exit(): void {
    if (this.#exited) return;
    if (this.#users === 1) this.zone.checkUnlocked();
    this.#exited = true;
    this.#drop();
  }

  /**
   * Lets somebody who caches translations know what changes.
   * @throws {@link IommuError} `EEXIST` if registered already, `ESRCH` after the end.
   * @see Linux `mmu_notifier_register`, mm/mmu_notifier.c
   */
  registerNotifier(notifier: MmuNotifier): void {
    if (this.#users === 0) throw this.#gone();
    this.notifiers.add(notifier);
  }

  /**
   * Ends that. No callback comes any more, `release` neither; after `release` it does nothing.
   * @throws {@link IommuError} `ENOENT` if it is not registered.
   * @see Linux `mmu_notifier_put`, mm/mmu_notifier.c
   */
  unregisterNotifier(notifier: MmuNotifier): void {
    if (this.#users > 0) this.notifiers.remove(notifier);
  }

  #drop(): void {
    if (this.#users === 1) this.zone.checkUnlocked();
    this.#users -= 1;
    if (this.#users === 0) this.#end();
  }

  /** Linux `exit_mmap`. */
  #end(): void {
    const { areas } = this;
    this.#environment.trace?.instant('process', 'exit', { process: this.name });
    this.notifiers.release(this);
    const gather = new TlbGather();
    const removed = areas.cut(0, this.vaEnd);
    for (const area of removed) zapRange(this, area.start, area.end, gather);
    gather.finish(this);
    for (const { cache } of removed) cache?.put();
    this.tables.free();
    this.#environment.processes.delete(this);
  }

  #enter(): void {
    this.zone.checkUnlocked();
    if (this.#users === 0) throw this.#gone();
  }

  #gone(): IommuError {
    return new IommuError('ESRCH', `${this.name} has exited`);
  }
}

const words = ({ read, write, exec }: Access): string =>
  [read && 'read', write && 'write', exec && 'exec'].filter(Boolean).join(' ');
