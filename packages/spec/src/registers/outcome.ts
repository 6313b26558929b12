/** The two readings of a PAR register, told apart by its FAULT bit. */
export const faulted = (words: Uint32Array, base: number): boolean => (words[base]! & 1) !== 0;
export const succeeded = (words: Uint32Array, base: number): boolean => !faulted(words, base);
