/**
 * What a CPU does on behalf of a process: loads and stores through the process's tables, with faults on demand
 * (Linux `copy_from_user`, `copy_to_user` and arch/arm64/mm/fault.c).
 */
import { PTE_AF_LO, PTE_AP_RDONLY_LO, PTE_VALID_LO } from '@smmu/io-pgtable-arm/descriptors';
import { hex, IommuError, type Va } from '@smmu/platform';
import type { Access, FaultResult } from './fault.ts';
import type { Mm } from './mm.ts';

/** Faults in a row on one page before a CPU gives up: it takes somebody who takes the page away each time. */
const MAX_FAULTS = 16;
const LOAD: Access = { read: true, write: false, exec: false, user: true };
const STORE: Access = { read: false, write: true, exec: false, user: true };

/** A process accessed memory that it may not, or that cannot be had (SIGSEGV, SIGBUS). */
export class AccessError extends IommuError {
  override readonly name = 'AccessError';
  /** First byte that could not be accessed. */
  readonly va: Va;
  readonly write: boolean;
  readonly result: Exclude<FaultResult, 'done'>;
  constructor(process: string, va: Va, write: boolean, result: Exclude<FaultResult, 'done'>) {
    const code = result === 'outOfMemory' ? 'ENOMEM' : 'EFAULT';
    super(code, `${process}: ${write ? 'write to' : 'read of'} ${hex(va)}: ${result}`);
    this.va = va;
    this.write = write;
    this.result = result;
  }
}

/** Moves `length` bytes between `bytes` from `start` and the process's memory at `va`, page by page. */
export function accessBytes(mm: Mm, va: Va, bytes: Uint8Array, start: number, length: number, write: boolean): void {
  if (!(start >= 0 && length >= 0 && start + length <= bytes.length))
    throw new IommuError('EINVAL', `bytes [${start}, ${start + length}) of an array of ${bytes.length}`);
  const { memory, granuleBytes } = mm.zone;
  while (length > 0) {
    const offset = va % granuleBytes;
    const run = Math.min(length, granuleBytes - offset);
    const pa = translate(mm, va, write) + offset;
    if (write) memory.writeBytes(pa, bytes, start, run);
    else memory.readBytes(pa, bytes, start, run);
    va += run;
    start += run;
    length -= run;
  }
}

/** First byte of the page at `va`, which allows the access now. */
function translate(mm: Mm, va: Va, write: boolean): number {
  const { memory, granuleBytes, pte } = mm.zone;
  const checked = write ? PTE_VALID_LO | PTE_AF_LO | PTE_AP_RDONLY_LO : PTE_VALID_LO | PTE_AF_LO;
  for (let faults = 0; ; faults++) {
    const entry = mm.areas.find(va) === undefined ? -1 : mm.entryAt(va - (va % granuleBytes), false);
    if (entry >= 0) {
      memory.read64(entry);
      if ((memory.lo & checked) === (PTE_VALID_LO | PTE_AF_LO)) return pte.pa(memory.lo, memory.hi);
    }
    if (faults === MAX_FAULTS) throw new IommuError('EAGAIN', `${mm.name}: ${hex(va)} was taken away ${faults} times`);
    const result = mm.handleFault(va, write ? STORE : LOAD);
    if (result !== 'done') throw new AccessError(mm.name, va, write, result);
  }
}
