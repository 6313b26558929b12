import { IommuError } from '@smmu/platform';
import type { BitsField, FlagField } from '@smmu/spec';
import { CONFIG_BYTES } from './capabilities.ts';

/** Configuration reads and writes of one function, as the root complex's ECAM or Linux `pci_read_config_*` makes them. */
export interface ConfigAccess {
  /** @param offset - A multiple of `bytes`. */
  read(offset: number, bytes: 1 | 2 | 4): number;
  write(offset: number, bytes: 1 | 2 | 4, value: number): void;
}

/** A field of a structure in configuration space. */
export type ConfigField = BitsField | FlagField;

/**
 * The 4 KiB of registers that a function shows to configuration cycles. PCI Express Base §7.5.
 *
 * Each bit is read-only, writable, or cleared by writing 1; `words` holds what a read returns. A write touches just the
 * bytes that it names, so that setting a control bit does not clear the status bits beside it.
 */
export class ConfigSpace implements ConfigAccess {
  readonly words: Uint32Array = new Uint32Array(CONFIG_BYTES / 4);
  readonly #writable: Uint32Array = new Uint32Array(CONFIG_BYTES / 4);
  readonly #writeOneToClear: Uint32Array = new Uint32Array(CONFIG_BYTES / 4);
  readonly #initial: Uint32Array = new Uint32Array(CONFIG_BYTES / 4);
  readonly #written: (wordOffset: number, value: number) => void;

  /** @param written - Told after each write: the offset of the word, and the bits of it that were written, in place. */
  constructor(written: (wordOffset: number, value: number) => void) {
    this.#written = written;
  }

  /** Lets software write these fields of the structure at `offset`. */
  allow(offset: number, ...fields: ConfigField[]): void {
    for (const field of fields) this.#writable[offset / 4 + field.word]! |= field.mask;
  }

  /** Lets software write these bits of the word at `offset`. */
  allowBits(offset: number, mask: number): void {
    this.#writable[offset / 4]! |= mask;
  }

  /** Lets software clear these fields of the structure at `offset` by writing 1 to them. */
  allowClear(offset: number, ...fields: ConfigField[]): void {
    for (const field of fields) this.#writeOneToClear[offset / 4 + field.word]! |= field.mask;
  }

  /** Remembers the present values as those after a reset. */
  seal(): void {
    this.#initial.set(this.words);
  }

  /** Sets every register to its value after a reset. */
  reset(): void {
    this.words.set(this.#initial);
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    check(offset, bytes);
    return ((this.words[offset >>> 2]! >>> lane(offset)) & ones(bytes)) >>> 0;
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    check(offset, bytes);
    const index = offset >>> 2;
    const touched = ones(bytes) << lane(offset);
    const given = (value << lane(offset)) & touched;
    const writable = this.#writable[index]! & touched;
    const cleared = this.#writeOneToClear[index]! & given;
    this.words[index] = (((this.words[index]! & ~writable) | (given & writable)) & ~cleared) >>> 0;
    this.#written(index * 4, given >>> 0);
  }
}

const lane = (offset: number): number => (offset & 3) * 8;
const ones = (bytes: number): number => (bytes === 4 ? 0xffff_ffff : 2 ** (bytes * 8) - 1);

function check(offset: number, bytes: number): void {
  if (!(offset >= 0 && offset + bytes <= CONFIG_BYTES) || offset % bytes !== 0)
    throw new IommuError(
      'EINVAL',
      `configuration access of ${bytes} bytes at ${offset}: must be aligned and inside ${CONFIG_BYTES} bytes`,
    );
}
