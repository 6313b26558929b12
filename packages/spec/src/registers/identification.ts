/** Peripheral and component identification, in the last words of page 0's first 4 KiB. IHI 0070 §6.3.170. */

/** An identification register: 32 bits, of which the low 8 count. */
export interface IdRegister {
  readonly name: string;
  /** Bytes from the SMMU's base. */
  readonly offset: number;
  /** What an implementation by Arm reads as; undefined where that is the implementation's own. */
  readonly value: number | undefined;
  readonly doc: string;
}

export const idRegisters: readonly IdRegister[] = [
  { name: 'PIDR4', offset: 0xfd0, value: undefined, doc: '7:4 zero, 3:0 designer, JEP106 continuation code' },
  { name: 'PIDR5', offset: 0xfd4, value: 0, doc: 'zero' },
  { name: 'PIDR6', offset: 0xfd8, value: 0, doc: 'zero' },
  { name: 'PIDR7', offset: 0xfdc, value: 0, doc: 'zero' },
  { name: 'PIDR0', offset: 0xfe0, value: undefined, doc: 'part number, bits 7:0' },
  { name: 'PIDR1', offset: 0xfe4, value: undefined, doc: '7:4 designer bits 3:0, 3:0 part number bits 11:8' },
  { name: 'PIDR2', offset: 0xfe8, value: undefined, doc: '7:4 revision, bit 3 is 1, 2:0 designer bits 6:4' },
  { name: 'PIDR3', offset: 0xfec, value: undefined, doc: '7:4 REVAND, 3:0 customer modification' },
  { name: 'CIDR0', offset: 0xff0, value: 0x0d, doc: 'preamble' },
  { name: 'CIDR1', offset: 0xff4, value: 0xf0, doc: 'component class and preamble' },
  { name: 'CIDR2', offset: 0xff8, value: 0x05, doc: 'preamble' },
  { name: 'CIDR3', offset: 0xffc, value: 0xb1, doc: 'preamble' },
];
