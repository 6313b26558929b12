/** Masks of the bits that a field takes, for sets of bits in use. */
import type { Field } from '@smmu/spec';

/** Adds a field's bits to a set of bits that has the shape of the structure. */
export function useField(used: Uint32Array, field: Field): void {
  switch (field.kind) {
    case 'bits':
    case 'flag':
      used[field.word]! |= field.mask;
      break;
    case 'addr':
    case 'wide':
      used[field.word]! |= field.maskLo;
      used[field.word + 1]! |= field.maskHi;
      break;
    default:
      throw new Error(`${field.doc}: a field of kind ${field.kind} cannot be part of a set of bits`);
  }
}
