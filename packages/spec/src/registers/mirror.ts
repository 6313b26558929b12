/**
 * The Secure and Realm interfaces mirror the Non-secure one: same registers, same bits, another place, other conditions.
 * IHI 0070 §6.2, §6.3.52 ff., §6.3.122 ff.
 */
import type { Fields } from '../layout.ts';
import { type Register, type RegisterFacts, type RegisterPage, register } from './register.ts';

/** The interfaces that mirror: Secure and Realm. */
export type Mirror = 'S' | 'R';

const SECURE_BYTES = 0x8000; // the Secure registers are the upper half of page 0
const NON_SECURE_PAGE_1 = 0x10000;

/** Where the Secure and the Realm twin of a Non-secure page is, and by how many bytes its offsets move. */
const PLACES: Readonly<Record<Mirror, Partial<Record<RegisterPage, readonly [page: RegisterPage, move: number]>>>> = {
  S: { PAGE_0: ['PAGE_0', SECURE_BYTES], PAGE_1: ['PAGE_0', SECURE_BYTES - NON_SECURE_PAGE_1], VATOS: ['S_VATOS', 0] },
  R: { PAGE_0: ['R_PAGE_0', 0], PAGE_1: ['R_PAGE_1', -NON_SECURE_PAGE_1] },
};
const INTERFACE: Readonly<Record<Mirror, string>> = { S: 'Secure', R: 'Realm' };
const IMPLEMENTED: Readonly<Record<Mirror, string>> = { S: 'S_IDR1.SECURE_IMPL=1', R: 'ROOT_IDR0.REALM_IMPL=1' };

/** The place and conditions of the twin of `base`, which must lie on a page that has one. */
function twin(base: Register, mirror: Mirror, section: string): RegisterFacts {
  const [page, move] = PLACES[mirror][base.page]!;
  const features = mirror === 'S' ? /\bIDR0\.MSI/g : /\b(?:IDR0\.(?:MSI|PRI)|IDR3\.DPT)/g; // features that each interface tells for itself
  const present = base.present?.replace(features, `${mirror}_$&`).replace('IDR1.ECMDQ', `${mirror}_IDR0.ECMDQ`);
  const rule = base.rule?.replace(/\b(?:CR0|CR0ACK|IRQ_CTRL|IRQ_CTRLACK|GATOS_CTRL|VATOS_CTRL)\b/g, `${mirror}_$&`);
  return {
    title: `${base.title} (${INTERFACE[mirror]})`,
    offset: base.offset + move,
    section,
    byteLength: base.byteLength,
    page,
    access: base.access,
    present: present === undefined ? IMPLEMENTED[mirror] : `${present} and ${IMPLEMENTED[mirror]}`,
    reset: base.reset,
    ...(rule !== undefined && { rule }),
    ...(base.array && { array: base.array }),
  };
}

/** A twin with the same fields. */
export function mirror<F extends Fields>(base: Register<F>, to: Mirror, section: string): Register<F> {
  return register(`${to}_${base.name}`, { ...twin(base, to, section), resetOf: base.resetOf }, base.fields);
}

/** A twin with fields of its own, and facts that differ. */
export function mirrorWith<const F extends Fields>(
  base: Register,
  to: Mirror,
  section: string,
  fields: F,
  facts: Partial<RegisterFacts> = {},
): Register<F> {
  return register(`${to}_${base.name}`, { ...twin(base, to, section), ...facts }, fields);
}
