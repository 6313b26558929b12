import { IommuError, type Pa, type Va } from '@smmu/platform';
import { AsidContext } from './asid.ts';
import type { BackingFile } from './backingFile.ts';
import { type MmuNotifier, MmuNotifierList } from './notifier.ts';

/** What the CPU's TTBR0, TCR and MAIR, and a CD, need to know of a process's tables. */
export interface Stage1Config {
  readonly ttbr: Pa;
  /** Encodings as in a CD. */
  readonly tcr: {
    readonly tsz: number;
    readonly tg: number;
    readonly sh: number;
    readonly orgn: number;
    readonly irgn: number;
    readonly ips: number;
  };
  readonly mairLo: number;
  readonly mairHi: number;
}

/** What an area is of. A `guard` reserves addresses: every access is a bad address. */
export type AreaKind = 'anonymous' | 'private' | 'shared' | 'guard';

/** What an area allows. As on arm64 without EPAN, what may be written or executed may be read. */
export interface Protection {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec?: boolean;
}

/** Parameters of {@link Mm.mmap}. */
export interface MmapOptions extends Protection {
  /** Bytes, rounded up to the granule. */
  readonly bytes: number;
  /** Where, a multiple of the granule. Left out: the highest gap that is large enough. */
  readonly address?: Va;
  readonly kind: AreaKind;
  /** Of `private` and `shared`. */
  readonly file?: BackingFile;
  /** First byte of the file, a multiple of the granule. */
  readonly fileOffset?: number;
}

/** An access that needs a page. */
export interface Access {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly user: boolean;
}

/**
 * How a fault ended (Linux `vm_fault_t`): `badAddress` no area or a guard (SEGV_MAPERR), `badAccess` the area forbids it
 * (SEGV_ACCERR), `busError` beyond the end of the file or unreadable (SIGBUS), `outOfMemory` nothing can be reclaimed.
 */
export type FaultResult = 'done' | 'badAddress' | 'badAccess' | 'busError' | 'outOfMemory';

const later = (): never => {
  throw new IommuError('EOPNOTSUPP', 'not written yet');
};

/** A process's address space (Linux `struct mm_struct`). */
export class Mm {
  readonly name: string;
  readonly context: AsidContext = new AsidContext();
  readonly notifiers: MmuNotifierList = new MmuNotifierList();
  /** First-level table. */
  readonly root: Pa = 0;
  readonly stage1!: Stage1Config;

  constructor(name: string) {
    this.name = name;
  }

  mmap(_options: MmapOptions): Va {
    return later();
  }
  munmap(_va: Va, _bytes: number): void {
    later();
  }
  mprotect(_va: Va, _bytes: number, _protection: Protection): void {
    later();
  }
  msync(_va: Va, _bytes: number): void {
    later();
  }
  handleFault(_va: Va, _access: Access): FaultResult {
    return later();
  }
  readBytes(_va: Va, _target: Uint8Array, _start: number, _length: number): void {
    later();
  }
  writeBytes(_va: Va, _source: Uint8Array, _start: number, _length: number): void {
    later();
  }
  fork(_name: string): Mm {
    return later();
  }
  tryGet(): boolean {
    return later();
  }
  put(): void {
    later();
  }
  exit(): void {
    later();
  }
  registerNotifier(notifier: MmuNotifier): void {
    this.notifiers.add(notifier);
  }
  unregisterNotifier(notifier: MmuNotifier): void {
    this.notifiers.remove(notifier);
  }
}
