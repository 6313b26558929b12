/** What every command builder does first. IHI 0070 §4.1. */

/** Words of a command. */
export const COMMAND_WORDS = 4;

/** Clears the four words of a command at `words[at]` and writes its opcode. */
export function begin(words: Uint32Array, at: number, opcode: number): void {
  words[at] = opcode;
  words[at + 1] = 0;
  words[at + 2] = 0;
  words[at + 3] = 0;
}
