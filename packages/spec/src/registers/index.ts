/** The register map, by name and by offset. IHI 0070 §6.2; Linux arm-smmu-v3.h ARM_SMMU_*. */
import * as atos from './atos.ts';
import * as control from './control.ts';
import * as ecmdq from './ecmdq.ts';
import * as gerror from './gerror.ts';
import * as idr from './idr.ts';
import * as queues from './queues.ts';
import * as realm from './realm.ts';
import type { Register, RegisterPage } from './register.ts';
import * as root from './root.ts';
import * as secure from './secure.ts';
import * as tables from './tables.ts';

/** All registers by name. */
export const registers = {
  ...idr,
  ...control,
  ...gerror,
  ...tables,
  ...queues,
  ...ecmdq,
  ...atos,
  ...secure,
  ...root,
  ...realm,
};
export type RegisterName = keyof typeof registers;

const all: readonly Register[] = Object.values(registers);
const key = (page: RegisterPage, offset: number): string => `${page} ${offset}`;
const byWord = new Map<string, Register>();
for (const one of all) for (let i = 0; i < one.byteLength; i += 4) byWord.set(key(one.page, one.offset + i), one);
const arrays = all.filter((one) => one.array !== undefined && one.array.stride > 0);

/**
 * The register at an offset, as an access trace names it.
 *
 * @param offset - Bytes from the SMMU's base, or from the page's own base for another `page`. Any byte of a register
 *   finds it, and so does any element of an array.
 * @param page - Where to look; without it, in PAGE_0 and PAGE_1.
 * @returns undefined where the map has no register: it reads zero and ignores writes.
 */
export function registerAt(offset: number, page?: RegisterPage): Register | undefined {
  const word = offset - (offset % 4);
  if (page === undefined) return registerAt(word, 'PAGE_0') ?? registerAt(word, 'PAGE_1');
  const found = byWord.get(key(page, word));
  if (found) return found;
  return arrays.find((one) => {
    const { count, stride } = one.array!;
    const inside = word - one.offset;
    return one.page === page && inside >= 0 && inside < count * stride && inside % stride < one.byteLength;
  });
}
